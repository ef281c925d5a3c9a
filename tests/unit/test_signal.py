"""The signal audit against the whole model, one prompt at a time."""

import json
import math
from pathlib import Path

import pytest
import torch

from fewshot_distillation.config.targets import POSITIONS
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.data.sequences import Sequence
from fewshot_distillation.errors import JobError
from fewshot_distillation.teacher import activations, signal
from tiny import study, write_dataset
from training import Setup

TEMPERATURES, TOP_K = [1.0, 2.0], [4, 16]
TEACHERS = {"fewshot": {"shots": 2, "seed": 3}, "zeroshot": {"shots": 0}}


def audit(folder: Path, model_folder: Path, train: Path, teacher: str = "fewshot", **changes) -> dict:
    """signal.json of a teacher whose cache lies in the folder, or is made there."""
    specs = study(teachers=TEACHERS, **changes)
    cache, meta, output = (folder / name for name in ("activations.safetensors", "meta.json", "signal.json"))
    for name in ("state", "audit"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not cache.exists():
        spec = specs.precompute_activations("tiny", teacher, "question")
        activations.precompute_activations(spec, model_folder, train, folder / "state", cache, meta)
    spec = specs.audit_signal("tiny", teacher, "question").model_copy(
        update={"top_k": TOP_K, "temperatures": TEMPERATURES}
    )
    signal.audit_signal(spec, model_folder, train, cache, meta, folder / "audit", output)
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, splits) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "SHARD_ROWS", 5)
        return audit(tmp_path_factory.mktemp("signal"), model_folder, splits[0])


@torch.inference_mode()
def whole_model(model, ids: list[int], position: int) -> tuple[list[float], list[torch.Tensor]]:
    """Logits at a position and every layer's output there, from a full forward pass in float64."""
    outputs = []
    handles = [layer.register_forward_hook(lambda _m, _i, out: outputs.append(out)) for layer in model.model.layers]
    logits = model(torch.tensor([ids]), use_cache=False).logits[0, position]
    for handle in handles:
        handle.remove()
    return logits.tolist(), [out[0, position] for out in outputs]


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp((value - max(logits)) / temperature) for value in logits]
    return [power / sum(powers) for power in powers]


def reference(model, builder, splits) -> dict:
    """The same figures, by the definitions."""
    train = read_jsonl(splits[0])
    few = activations.teacher_sequences(study().precompute_activations("tiny", "fewshot", "question"), builder, train)
    zero = [Sequence(builder.build(row["question"]), []) for row in train]
    model, n, found = model.double(), len(train), {}
    for position in POSITIONS:
        sums: dict = {"kl": [0, 0], "top1": 0, "entropy": 0, "coverage": {}, "layers": [[0, 0, 0], [0, 0, 0]]}
        least: dict = {}
        for f, z in zip(few, zero, strict=True):
            teacher, teacher_states = whole_model(model, f.ids, f.span(position)[0])
            student, student_states = whole_model(model, z.ids, z.span(position)[0])
            for i, t in enumerate(TEMPERATURES):
                p, q = softmax(teacher, t), softmax(student, t)
                sums["kl"][i] += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / n
                for k in TOP_K:
                    covered = sum(sorted(p, reverse=True)[:k])
                    sums["coverage"][k, t] = sums["coverage"].get((k, t), 0) + covered / n
                    least[k, t] = min(least.get((k, t), 1), covered)
            p = softmax(teacher, 1)
            sums["top1"] += max(p) / n
            sums["entropy"] -= sum(a * math.log(a) for a in p) / n
            for layer, (a, b) in enumerate(zip(student_states, teacher_states, strict=True)):
                cosine = (a @ b / (a.norm() * b.norm())).item()
                for i, value in enumerate((2 - 2 * cosine, ((a - b) ** 2).sum().item(), cosine)):
                    sums["layers"][layer][i] += value / n
        found[position] = sums | {"least": least}
    return found


def test_every_figure_against_the_whole_model(measured: dict, model, builder, splits):
    """The cache holds the teacher in float16, so figures agree to three digits."""
    expected = reference(model, builder, splits)
    assert measured["examples"] == 12 and measured["hidden_size"] == 32
    assert (measured["model"], measured["teacher"]) == ("tiny", "fewshot") and set(measured["positions"]) == set(
        POSITIONS
    )
    for position, found in measured["positions"].items():
        slow = expected[position]

        def close(value: float) -> object:
            return pytest.approx(value, rel=2e-3, abs=1e-5)

        assert [found["kl"][json.dumps(t)] for t in TEMPERATURES] == [close(value) for value in slow["kl"]]
        assert found["top1_probability"] == close(slow["top1"]) and found["entropy"] == close(slow["entropy"])
        for k in TOP_K:
            for t in TEMPERATURES:
                covered = found["coverage"][str(k)][json.dumps(t)]
                assert covered == {"mean": close(slow["coverage"][k, t]), "min": close(slow["least"][k, t])}
        for i, name in enumerate(("normalized_distance", "distance", "cosine")):
            assert found["layers"][name] == [close(layer[i]) for layer in slow["layers"]], name
        assert found["kl"]["1.0"] > 0.01, "there is something to tell apart"


def test_a_zero_shot_teacher_has_nothing_to_teach(tmp_path: Path, model_folder: Path, splits):
    """The same model with the same prompt: only float16 lies between."""
    for entry in audit(tmp_path, model_folder, splits[0], "zeroshot")["positions"].values():
        assert max(entry["kl"].values()) < 1e-5 and max(entry["layers"]["normalized_distance"]) < 1e-5
        assert min(entry["layers"]["cosine"]) > 0.99999


def test_top_k_beyond_the_vocabulary_covers_everything():
    found = signal.compare_logits(torch.randn(2, 5), torch.randn(2, 5), [1.0], [3, 9])
    assert (found["coverage"][:, 0, 0] < 1).all() and found["coverage"][:, 1, 0].tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("condition", ["layerwise", "logit_kl"])
def test_the_audit_is_the_loss_of_the_untrained_student(tmp_path: Path, model_folder: Path, splits, condition: str):
    """One step over all twelve examples; a fresh adapter changes nothing, so its loss is the audit's figure."""
    setup = Setup(tmp_path / "setup", model_folder, splits[0])
    changes = {"training__default__effective_batch_size": 12}
    if condition == "logit_kl":
        # What the cache holds is all of the vocabulary, so that nothing is renormalised.
        changes |= {"conditions__logit_kl__top_k": 400}
    loss = setup.trainer(condition, **changes).step(1)["distillation"]
    found = audit(tmp_path / "audit", model_folder, splits[0])["positions"]
    if condition == "layerwise":
        assert loss == pytest.approx(sum(found["question_end"]["layers"]["normalized_distance"]), rel=1e-4)
    else:
        assert loss == pytest.approx(2 * 2 * found["prompt_end"]["kl"]["2.0"], rel=5e-3)


def test_only_missing_shards_are_computed_again(tmp_path: Path, model_folder: Path, splits, measured, monkeypatch):
    found = audit(tmp_path, model_folder, splits[0])["positions"]["prompt_end"]["kl"]["1.0"]
    assert found == pytest.approx(measured["positions"]["prompt_end"]["kl"]["1.0"], rel=1e-4), "whatever the shards"
    monkeypatch.setattr(signal, "SHARD_ROWS", 5)
    shards = tmp_path / "audit"
    for path in shards.rglob("shard-*"):
        path.unlink()
    audit(tmp_path, model_folder, splits[0])
    before = (tmp_path / "signal.json").read_bytes()
    sorted(shards.rglob("shard-*"))[1].unlink()
    computed, one = [], signal.Auditor.values
    monkeypatch.setattr(signal.Auditor, "values", lambda *a: computed.append(a[1]) or one(*a))
    audit(tmp_path, model_folder, splits[0])
    assert (tmp_path / "signal.json").read_bytes() == before and computed == [[5, 6, 7, 8, 9]]


def test_shards_of_other_prompts_are_not_taken_up(tmp_path: Path, model_folder: Path, splits, measured, monkeypatch):
    """What the student is told otherwise, the teacher's cache being the same, is measured anew."""
    monkeypatch.setattr(signal, "SHARD_ROWS", 5)
    first = audit(tmp_path, model_folder, splits[0])
    computed, one = [], signal.Auditor.values
    monkeypatch.setattr(signal.Auditor, "values", lambda *a: computed.append(a[1]) or one(*a))
    other = audit(tmp_path, model_folder, splits[0], prompt={"question": "Question: {question}"})
    assert len(computed) == 3 and other["prompts"] != first["prompts"] == measured["prompts"]
    assert other["positions"] != first["positions"]
    assert audit(tmp_path, model_folder, splits[0]) == first and len(computed) == 3


def test_a_cache_of_other_data_or_of_another_model(tmp_path: Path, model_folder: Path, splits):
    audit(tmp_path, model_folder, splits[0])
    (tmp_path / "other").mkdir()
    with pytest.raises(JobError, match="was computed from another dataset"):
        audit(tmp_path, model_folder, write_dataset(tmp_path / "other", seed=1)[0])
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps(meta | {"model": "0"}))
    with pytest.raises(JobError, match="was computed from another model"):
        audit(tmp_path, model_folder, splits[0])


def test_a_model_that_computes_nan(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    audit(tmp_path, model_folder, splits[0])
    for path in (tmp_path / "audit").rglob("shard-*"):
        path.unlink()

    def broken(*arguments):
        model = load(*arguments)
        model.lm_head.weight.fill_(float("nan"))
        return model

    load = signal.load_model
    monkeypatch.setattr(signal, "load_model", broken)
    with pytest.raises(JobError, match="training example 0: kl of teacher and student is not finite"):
        audit(tmp_path, model_folder, splits[0])
