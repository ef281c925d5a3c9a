"""Adapters from anywhere: each tensor is used, each module has its own, and merging changes nothing that is said."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from fewshot_distillation.errors import JobError
from fewshot_distillation.modeling import adapters
from fewshot_distillation.modeling.adapters import check_adapter, load_checkpoint
from fewshot_distillation.modeling.load import load_model
from tiny import fetched_model, make_model, random_prompts

MODULES = ["q_proj", "down_proj"]
IDS = torch.tensor(random_prompts(2, 400, 30, 30))


def save_adapter(model: Path, folder: Path, **settings) -> Path:
    """An adapter to a model that changes what it says a lot."""
    torch.manual_seed(1)
    config = LoraConfig(task_type="CAUSAL_LM", **{"r": 4, "lora_alpha": 8, "target_modules": MODULES, **settings})
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, model_folder: Path) -> Path:
    return save_adapter(model_folder, tmp_path_factory.mktemp("adapters") / "good")


@pytest.fixture(scope="module")
def tied(tmp_path_factory) -> Path:
    """A model whose head is its embedding."""
    folder = tmp_path_factory.mktemp("tied")
    return fetched_model(make_model(folder / "source", tie_word_embeddings=True), folder / "model")


@torch.inference_mode()
def logits(model) -> torch.Tensor:
    return model(IDS).logits


def of_peft(model: Path, adapter: Path) -> torch.Tensor:
    """What PEFT's own layers beside the model's make of the prompts."""
    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), str(adapter)).eval())


def assert_like_peft(model: Path, adapter: Path) -> None:
    found, expected = logits(load_checkpoint(model, adapter, "fp32")), of_peft(model, adapter)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert (expected - logits(load_model(model, "fp32"))).abs().max() > 0.1 * expected.abs().max()
    check_adapter(model, adapter)


SETTINGS = {
    "LoRA": {},
    "its own rank for a module": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 3}},
    "rank-stabilised": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "of some layers": {"layers_to_transform": [1]},
    "of the head": {"target_modules": ["lm_head", "q_proj"]},
    "of the embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "a head of its own": {"modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("of", ["tied", "model_folder"])
def test_what_is_loaded_says_what_the_adapter_says(request, tmp_path: Path, of: str, settings: dict):
    """Also where the head is one tensor with the embedding, which a merge would change as well."""
    model = request.getfixturevalue(of)
    assert_like_peft(model, save_adapter(model, tmp_path / "adapter", **settings))


def test_without_separate_weights_the_merge_is_noticed(tmp_path: Path, tied: Path, monkeypatch, caplog):
    """The probe sees that merged says something else; the adapter's layers then stay beside the model's."""
    monkeypatch.setattr(adapters, "_separate", lambda model: None)
    caplog.set_level("INFO", "fewshot_distillation")
    assert_like_peft(tied, save_adapter(tied, tmp_path / "adapter", target_modules=["lm_head", "q_proj"]))
    assert "the adapter's layers stay separate" in caplog.text


PLAIN = ("LoRA", "its own rank for a module", "rank-stabilised", "of some layers")


@pytest.mark.parametrize(("name", "settings"), SETTINGS.items(), ids=SETTINGS)
def test_what_only_peft_applies(tmp_path: Path, tied: Path, name: str, settings: dict):
    """Where another engine would leave it out, or change the embedding with the head, it is refused."""
    adapter = save_adapter(tied, tmp_path / "adapter", **settings)
    if name in PLAIN:
        return check_adapter(tied, adapter, by_peft=False)
    with pytest.raises(JobError) as error:
        check_adapter(tied, adapter, by_peft=False)
    found = {"DoRA": "the setting use_dora", "a head of its own": "the setting modules_to_save"}
    found |= {"of the head": "a part for lm_head", "of the embedding": "a part for model.embed_tokens"}
    assert f"{adapter}: the adapter has {found[name]}" in str(error.value) and "\n" not in str(error.value)


def rewritten(adapter: Path, folder: Path, rename=lambda name: name, drop=lambda name: False, **settings) -> Path:
    """A copy of an adapter with other names of tensors, some left out, and other settings."""
    shutil.copytree(adapter, folder)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {rename(n): t for n, t in weights.items() if not drop(n)},
        folder / "adapter_model.safetensors",
        {"format": "pt"},
    )
    config = json.loads((adapter / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | settings))
    return folder


def test_the_copies_below_are_otherwise_whole(tmp_path: Path, model_folder: Path, adapter: Path):
    assert_like_peft(model_folder, rewritten(adapter, tmp_path / "copy"))


NOTHING = "tensors that match nothing in the model, such as"
MISFITS = {
    "names of a model with pictures": (
        {"rename": lambda name: name.replace("model.layers", "model.language_model.layers")},
        NOTHING,
    ),
    "names of a wrapped model": ({"rename": lambda name: f"module.{name}"}, NOTHING),
    "layers that the model doesn't have": ({"rename": lambda name: name.replace("layers.1", "layers.7")}, NOTHING),
    "a module without tensors": (
        {"drop": lambda name: "down_proj" in name},
        "names modules for which there are no tensors, such as",
    ),
    "half a pair": ({"drop": lambda name: "layers.0.self_attn.q_proj.lora_B" in name}, "there are no tensors, such as"),
    "a module that the model doesn't have": (
        {"target_modules": [*MODULES, "qkv_proj"]},
        "names the module 'qkv_proj', which the model doesn't have",
    ),
    "no module that the model has": ({"target_modules": ["qkv_proj"]}, "the adapter doesn't fit the model: "),
    "another rank": ({"r": 8}, "has shape [4, 32], the model's is [8, 32]"),
    "settings of another kind": ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3}, "adapter"),
    "settings that nobody knows": ({"peft_type": "MAGIC"}, "adapter"),
}


@pytest.mark.parametrize(("changes", "sentence"), MISFITS.values(), ids=MISFITS)
def test_an_adapter_that_does_not_fit(tmp_path: Path, model_folder: Path, adapter: Path, changes: dict, sentence: str):
    copy = rewritten(adapter, tmp_path / "copy", **changes)
    for use in (lambda: check_adapter(model_folder, copy), lambda: load_checkpoint(model_folder, copy, "fp32")):
        with pytest.raises(JobError) as error:
            use()
        assert sentence in str(error.value) and "\n" not in str(error.value) and str(copy) in str(error.value)


OTHERS = {
    "a larger vocabulary": ({}, {"target_modules": ["lm_head"]}, "has shape [410, 4], the model's is [400, 4]"),
    "a larger vocabulary, whole": ({}, {"modules_to_save": ["lm_head"]}, "[410, 32], the model's is [400, 32]"),
    "another size": ({"hidden_size": 48}, {}, "the model's is [4, 32]; the adapter belongs to a model of another size"),
    "more layers": ({"num_hidden_layers": 3}, {}, NOTHING),
    "fewer layers": ({"num_hidden_layers": 1}, {}, "names modules for which there are no tensors"),
}  # fmt: skip


@pytest.mark.parametrize(("sizes", "settings", "sentence"), OTHERS.values(), ids=OTHERS)
def test_an_adapter_of_another_model(tmp_path: Path, model_folder: Path, sizes: dict, settings: dict, sentence: str):
    other = make_model(tmp_path / "other", **sizes)
    if not sizes:
        larger = AutoModelForCausalLM.from_pretrained(other)
        larger.resize_token_embeddings(410)
        larger.save_pretrained(other)
    adapter = save_adapter(other, tmp_path / "adapter", **settings)
    for use in (lambda: check_adapter(model_folder, adapter), lambda: load_checkpoint(model_folder, adapter, "fp32")):
        with pytest.raises(JobError) as error:
            use()
        assert sentence in str(error.value) and "\n" not in str(error.value)


def test_pickled_adapters_are_not_loaded(tmp_path: Path, model_folder: Path, adapter: Path):
    copy = rewritten(adapter, tmp_path / "copy")
    torch.save(load_file(copy / "adapter_model.safetensors"), copy / "adapter_model.bin")
    (copy / "adapter_model.safetensors").unlink()
    with pytest.raises(JobError, match=r"no adapter_model.safetensors \(pickled weights are not loaded\)"):
        load_checkpoint(model_folder, copy, "fp32")


def test_weights_that_are_no_numbers(tmp_path: Path, model_folder: Path, adapter: Path):
    """NaN is not merged, and shows in what is said."""
    copy = rewritten(adapter, tmp_path / "copy")
    weights = load_file(copy / "adapter_model.safetensors")
    next(iter(weights.values())).fill_(float("nan"))
    save_file(weights, copy / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(JobError, match="are not finite"):
        load_checkpoint(model_folder, copy, "fp32")
