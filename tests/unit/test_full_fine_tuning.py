"""`training.adapter: none`: all weights are trained, and checkpoints are models by themselves."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from fewshot_distillation.data.checkpoints import checkpoints_of
from fewshot_distillation.evaluation.generation import evaluate_checkpoints
from fewshot_distillation.modeling.adapters import load_checkpoint
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.runtime.files import sha256
from fewshot_distillation.student import trainer as student_trainer
from fewshot_distillation.student.state import save_full_checkpoint
from fewshot_distillation.student.trainer import Trainer
from tiny import study
from training import Setup, adapter_of

CONDITIONS = ["sft", "layerwise", "logit_kl"]
FULL = {"training__default__adapter": "none"}


@pytest.fixture(scope="module")
def setup(tmp_path_factory, model_folder: Path, splits) -> Setup:
    return Setup(tmp_path_factory.mktemp("setup"), model_folder, splits[0])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, setup: Setup) -> dict[str, Path]:
    return {name: setup.train(name, tmp_path_factory.mktemp(name), **FULL) for name in CONDITIONS}


@pytest.fixture
def bf16(monkeypatch):
    """Even where the machine's arithmetic in bfloat16 is emulated."""
    monkeypatch.setattr(student_trainer, "dtype_for", lambda *_: torch.bfloat16)


def digests(run: Path) -> dict[str, str]:
    return {str(p.relative_to(run)): sha256(p) for p in sorted((run / "checkpoints").rglob("*")) if p.is_file()}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_weight_is_trained(setup: Setup, condition: str, model):
    trainer = setup.trainer(condition, **FULL)
    rows = [trainer.step(step) for step in range(1, 10)]
    trained = dict(trainer.trained.named_parameters())
    before = dict(model.named_parameters())
    assert set(trained) == set(before) and all(p.requires_grad for p in trained.values())
    assert [name for name in before if torch.equal(before[name], trained[name])] == []
    # Twelve examples are an epoch of three steps.
    assert sum(r["loss"] for r in rows[6:]) < sum(r["loss"] for r in rows[:3])


def test_the_loss_before_the_first_step_is_that_of_a_fresh_adapter(setup: Setup):
    """A fresh adapter changes nothing, so both are losses of the same model; only dropout is in the way."""
    whole, lora = (setup.trainer("layerwise", **c).step(1) for c in (FULL, {"training__default__lora__dropout": 0.0}))
    for name in ("ce", "distillation", "cosine_layer_0", "cosine_layer_1"):
        assert whole[name] == pytest.approx(lora[name], rel=1e-5)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_interrupted_in_step_five(setup: Setup, undisturbed, tmp_path: Path, condition: str):
    begun, step = [], Trainer.step

    def failing(self: Trainer, number: int):
        begun.append(number)
        if begun == [1, 2, 3, 4, 5]:
            raise KeyboardInterrupt
        return step(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", failing)
        with pytest.raises(KeyboardInterrupt):
            setup.train(condition, tmp_path, **FULL)
        run = setup.train(condition, tmp_path, **FULL)
    assert begun == [1, 2, 3, 4, 5, 5, 6]
    assert digests(run) == digests(undisturbed[condition])
    tables = [pd.read_csv(r / "metrics.csv").drop(columns="tokens_per_second") for r in (run, undisturbed[condition])]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_checkpoint_is_a_model_by_itself(setup: Setup, undisturbed, tmp_path: Path, model_folder: Path):
    """It answers as the trained model does, with the tokenizer of the fetched one, and names no path of the machine."""
    folder = tmp_path / "moved"
    shutil.copytree(undisturbed["sft"] / "checkpoints" / "checkpoint-3", folder)
    found = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    trainer = setup.trainer("sft", **FULL)
    for step in range(1, 4):
        trainer.step(step)
    names = [name for name, _ in found.named_parameters()]
    weights = dict(trainer.trained.named_parameters())
    assert set(names) == set(weights)
    assert all(torch.equal(p, weights[name]) for name, p in found.named_parameters())
    ours, theirs = (AutoTokenizer.from_pretrained(f) for f in (folder, model_folder))
    assert ours.get_vocab() == theirs.get_vocab() and ours.chat_template == theirs.chat_template is not None
    names = {p.name for p in folder.iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"} <= names
    assert "manifest.json" not in names and "adapter_config.json" not in names
    for path in folder.glob("*.json"):
        assert str(model_folder) not in path.read_text()


def test_generation_settings_are_the_fetched_model_s_or_none(model, model_folder: Path, tmp_path: Path):
    source = tmp_path / "source"
    shutil.copytree(model_folder, source)
    (source / "model.safetensors.index.json").write_text("{}")
    # Published ones may be of a kind that transformers reads with a warning and refuses to write.
    (source / "generation_config.json").write_text('{"do_sample": false, "temperature": 0.3}')
    save_full_checkpoint(tmp_path, 1, model, source, torch.float32)
    text = (tmp_path / "checkpoint-1" / "generation_config.json").read_text()
    assert text == '{"do_sample": false, "temperature": 0.3}'
    (source / "generation_config.json").unlink()
    save_full_checkpoint(tmp_path, 2, model, source, torch.float32)
    names = {p.name for p in (tmp_path / "checkpoint-2").iterdir()}
    assert "generation_config.json" not in names and "model.safetensors.index.json" not in names


def test_tied_weights_are_written_once(model, model_folder: Path, tmp_path: Path):
    model.config.tie_word_embeddings = True
    model.tie_weights()
    assert model.lm_head.weight is model.model.embed_tokens.weight
    save_full_checkpoint(tmp_path, 1, model, model_folder, torch.bfloat16)
    with safe_open(tmp_path / "checkpoint-1" / "model.safetensors", "pt") as file:
        assert "model.embed_tokens.weight" in file.keys() and "lm_head.weight" not in file.keys()  # noqa: SIM118
    found = load_checkpoint(model_folder, tmp_path / "checkpoint-1", "fp32")
    assert found.lm_head.weight is found.model.embed_tokens.weight
    assert torch.equal(found.lm_head.weight, model.lm_head.weight.bfloat16().float())


def test_bfloat16_layers_with_float32_weights(setup: Setup, tmp_path: Path, bf16):
    """Steps too small for bfloat16 aren't lost, layers do compute in it, and checkpoints are written in it."""
    trainer = setup.trainer("layerwise", precision="bf16", training__default__learning_rate=1e-5, **FULL)
    seen = []
    trainer.trained.get_decoder().layers[0].mlp.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    before = adapter_of(trainer).clone()
    for step in range(1, 4):
        trainer.step(step)
    after = adapter_of(trainer)
    assert set(seen) == {torch.bfloat16} and {p.dtype for p in trainer.student.parameters()} == {torch.float32}
    assert (after != before).float().mean() > 0.9
    assert (after.bfloat16() != before.bfloat16()).float().mean() < 0.1
    trainer.save_checkpoint(tmp_path, 3)
    folder = tmp_path / "checkpoint-3"
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    found = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    weights = dict(trainer.trained.named_parameters())
    assert all(torch.equal(p, weights[name].bfloat16()) for name, p in found.named_parameters())


def test_evaluation_of_whole_models(setup: Setup, undisturbed, splits, tmp_path: Path, model_folder: Path):
    """Each checkpoint gives other answers than the base model, which an adapter's absence must not let through."""
    spec = study(**FULL).eval_checkpoint("tiny", "sft", "0", "42", "short")
    checkpoints = checkpoints_of(undisturbed["sft"] / "checkpoints" / "manifest.json", spec.checkpoints)
    output = tmp_path / "predictions.parquet"
    evaluate_checkpoints(spec, model_folder, checkpoints, splits[1], tmp_path / "state", output)
    table = pd.read_parquet(output)
    untrained = tmp_path / "untrained"
    for step in (3, 6):
        save_full_checkpoint(untrained, step, load_model(model_folder, "fp32"), model_folder, torch.float32)
    same = {step: untrained / f"checkpoint-{step}" for step in (3, 6)}
    evaluate_checkpoints(spec, model_folder, same, splits[1], tmp_path / "other", tmp_path / "other.parquet")
    other = pd.read_parquet(tmp_path / "other.parquet")
    texts = [list(t.loc[t["step"] == step, "text"]) for t in (table, other) for step in (3, 6)]
    assert texts[2] == texts[3] and texts[0] != texts[2] and texts[1] != texts[2] and texts[0] != texts[1]


def test_load_checkpoint_tells_kinds_by_their_files(setup: Setup, undisturbed, tmp_path: Path, model_folder: Path):
    lora = setup.train("sft", tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])
    paths = [run / "checkpoints" / "checkpoint-6" for run in (lora, undisturbed["sft"])]
    models = [load_model(model_folder, "fp32"), *(load_checkpoint(model_folder, path, "fp32") for path in paths)]
    assert not any(m.training or p.requires_grad for m in models for p in m.parameters())
    with torch.inference_mode():
        logits = [m(ids).logits for m in models]
    assert all((logits[a] - logits[b]).abs().max() > 0.01 for a, b in ((0, 1), (0, 2), (1, 2)))
