"""Hours and GPU-hours of rules, by hand."""

import shutil
import sys
import types
from pathlib import Path

import pytest

from fewshot_distillation.analysis.costs import cost_table, costs
from fewshot_distillation.hardware.energy import counted, told
from fewshot_distillation.runtime.provenance import surroundings
from tiny import study

GPUS = {
    "train/small": "3 (1 requested)",
    "train/big": "0,1,2,3 (4 requested)",
    "icl_gap": "not restricted (2 requested)",
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name, seconds in {
        "train/small/sft-0.5-42-full": "3600.0",
        "train/big/sft-0.5-42-full": "1800.0",
        "icl_gap/phase0/small": "360.0",
        "baseline/small/0shot": "360.0",
        "score/small/sft-0-42-full": "36.0",
        "aggregate": "72.0",
        "plot_icl_gap/phase0": "NA",
    }.items():
        path, log = tmp_path / "benchmarks" / f"{name}.tsv", tmp_path / "logs" / f"{name}.log"
        for file in (path, log):
            file.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
        gpus = next((f", GPU numbers {said}" for start, said in GPUS.items() if name.startswith(start)), "")
        log.write_text(f"12:00:00 python x.py --spec '{{}}'\n12:00:00 on node n1{gpus}, python 3.11; commit c\n")
    return tmp_path


def test_gpu_hours_are_hours_times_the_gpus_that_each_job_had(results: Path):
    found = {cost.rule: cost for cost in costs(results)}
    assert (found["train"].jobs, found["train"].hours, found["train"].gpu_hours) == (2, 1.5, 1 + 4 * 0.5)
    assert found["train"].longest_s == 3600
    assert found["icl_gap"].gpu_hours == pytest.approx(0.2)
    assert found["score"].gpu_hours == found["aggregate"].gpu_hours == found["baseline"].gpu_hours == 0
    assert found["plot_icl_gap"].hours == 0
    assert next(iter(found)) == "train", "the most expensive comes first"


@pytest.mark.parametrize(
    ("visible", "driver", "hours"), [("3", True, 1), (None, True, 1), (None, False, 0), ("", True, 0)]
)
def test_what_a_log_says_is_what_is_counted(results: Path, monkeypatch, visible: str | None, driver: bool, hours: int):
    monkeypatch.setattr("fewshot_distillation.hardware.gpus.GPU_DRIVERS", (str(results),) if driver else ())
    monkeypatch.delenv("ROCR_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    (results / "logs/train/small/sft-0.5-42-full.log").write_text(surroundings(1))
    shutil.rmtree(results / "benchmarks/train/big")
    assert next(cost for cost in costs(results) if cost.rule == "train").gpu_hours == hours


def test_gpus_of_a_job():
    """A machine with one GPU gives one; a server answers without any."""
    plan = study(models__tiny__gpus={"teacher": 2, "train": 4, "evaluate": 2})
    assert plan.gpus("train", "tiny") == 4 and plan.gpus("train", "tiny", 1) == 1
    assert plan.gpus("eval_checkpoint", "tiny") == 2 and plan.gpus("precompute_logits", "tiny") == 1
    server = study(
        models__tiny__gpus={"evaluate": 2}, evaluation__backend="server", server__url="http://localhost:1/v1"
    )
    assert server.gpus("baseline", "tiny") == 0 == server.gpus("write_answers", "tiny", 1)
    mixed = study(
        models__tiny__gpus={"evaluate": 2},
        evaluation__backend="server",
        server__url="http://localhost:1/v1",
        reruns={"here": {"backend": "transformers"}},
    )
    assert mixed.gpus("rerun", "tiny") == 2 and mixed.gpus("baseline", "tiny") == 0


def test_the_table_adds_up(results: Path):
    text = cost_table(costs(results))
    assert "| train | 2 | 1 h 30 min | 3.00 | 1 h 0 min |" in text
    assert "| **together** | 7 | 1 h 43 min | 3.20 | 1 h 0 min |" in text
    assert "Its energy isn't known" in text and "energy (Wh)" not in text


def test_energy_is_what_the_logs_say(results: Path):
    for name, drawn in {"train/small": 250.5, "train/big": 1000.0, "icl_gap": 1.25}.items():
        (log,) = (results / "logs" / name).rglob("*.log")
        log.write_text(f"{log.read_text()}12:10:00 {told(10.0, 10.0 + drawn)}\n12:10:00 x.py finished in 1.0 s\n")
    text = cost_table(costs(results))
    assert "| train | 2 | 1 h 30 min | 3.00 | 1250.5 | 1 h 0 min |" in text
    assert "| score | 1 | 36 s | 0.00 |  | 36 s |" in text and "| 3.20 | 1251.8 |" in text
    assert "isn't known" not in text


class FakeNvml(types.ModuleType):
    """NVML with two GPUs whose counters, in millijoules, go up with every look."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.drawn = {0: 3_600_000, 1: 7_200_000}

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        if number not in self.drawn:
            raise self.NVMLError
        return number

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:
        return {"GPU-a": 0, "GPU-b": 1}[name]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        self.drawn[handle] += 36_000
        return self.drawn[handle]


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [("0", 1, 1.01), ("GPU-b", 1, 2.01), ("0,1", 2, 3.02), ("0,1", 1, 1.01), (None, 1, 1.01),
     (None, 2, 3.02), ("", 1, None), ("0", 0, None), ("7", 1, None)],
)  # fmt: skip
def test_energy_of_the_gpus_that_a_job_sees(monkeypatch, visible: str | None, gpus: int, expected: float | None):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    monkeypatch.delenv("ROCR_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert counted(gpus) == (expected and pytest.approx(expected))


def test_without_nvml_nothing_is_known(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert counted(1) is None and told(None, 1.0) is None and told(2.0, 1.0) is None


def test_nothing_measured_says_nothing(tmp_path: Path):
    assert cost_table(costs(tmp_path)) == ""
