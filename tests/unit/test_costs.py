"""Hours and GPU-hours of rules, by hand."""

import json
from pathlib import Path

import pytest

from fewshot_distillation.analysis.costs import cost_table, costs
from tiny import study

RESERVED = {"train": {"small": 1, "big": 4}, "icl_gap": {"small": 2}}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name, seconds in {
        "train/small/sft-0-42-full": "3600.0",
        "train/big/sft-0-42-full": "1800.0",
        "icl_gap/phase0/small": "360.0",
        "score/small/sft-0-42-full": "36.0",
        "aggregate": "72.0",
        "plot_icl_gap/phase0": "NA",
    }.items():
        path = tmp_path / "benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    return tmp_path


def record(results: Path, **fields: str | None) -> None:
    (results / "metrics.csv.job.json").write_text(json.dumps(fields))


def test_gpu_hours_are_hours_times_reserved_gpus(results: Path):
    record(results, device="4 x NVIDIA A100", cuda_visible_devices="0,1,2,3")
    found = {cost.rule: cost for cost in costs(results, RESERVED)}
    assert (found["train"].jobs, found["train"].hours, found["train"].gpu_hours) == (2, 1.5, 1 + 4 * 0.5)
    assert found["train"].longest_s == 3600
    assert found["icl_gap"].gpu_hours == pytest.approx(0.2)
    assert found["score"].gpu_hours == found["aggregate"].gpu_hours == 0
    assert found["plot_icl_gap"].hours == 0
    assert next(iter(found)) == "train", "the most expensive comes first"


def test_what_is_reserved_is_what_jobs_get():
    """A machine with one GPU gives one; a server answers without any."""
    plan = study(models__tiny__gpus={"teacher": 2, "train": 4, "evaluate": 2})
    assert plan.reserved_gpus()["train"] == {"tiny": 4} and plan.reserved_gpus(1)["train"] == {"tiny": 1}
    assert plan.reserved_gpus()["eval_checkpoint"] == {"tiny": 2}
    assert plan.reserved_gpus()["precompute_logits"] == {"tiny": 1}
    server = study(
        models__tiny__gpus={"evaluate": 2}, evaluation__backend="server", server__url="http://localhost:1/v1"
    )
    assert server.reserved_gpus()["baseline"] == {"tiny": 0} == server.reserved_gpus(1)["icl_gap"]


def test_without_a_gpu_there_are_hours_alone(results: Path):
    record(results, device="cpu (x86_64, 2 threads)", cuda_visible_devices=None)
    assert sum(cost.gpu_hours for cost in costs(results, RESERVED)) == 0


def test_the_table_adds_up(results: Path):
    record(results, device="cpu", cuda_visible_devices="1")
    text = cost_table(costs(results, RESERVED))
    assert "| train | 2 | 1.50 | 3.00 | 3600 |" in text
    assert "| **together** | 6 | 1.63 | 3.20 | |" in text


def test_nothing_measured_says_nothing(tmp_path: Path):
    assert cost_table(costs(tmp_path, RESERVED)) == ""
