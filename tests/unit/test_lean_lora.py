"""LoRA in fewer operations against PEFT's."""

import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from fewshot_distillation.modeling.lean_lora import use_lean_lora
from operations import Operations
from tiny import random_prompts

IDS = torch.tensor(random_prompts(3, 400, 20, 20))


def adapted(folder: Path, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).requires_grad_(False)
    targets = ["q_proj", "v_proj", "o_proj", "down_proj"]
    config = LoraConfig(r=4, lora_alpha=12, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM")
    torch.manual_seed(0)
    model = get_peft_model(base, config).float() if dtype == torch.float32 else get_peft_model(base, config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p.data, std=0.3)
    return model.train()


def results(model: PeftModel, autocast: bool = False) -> list[torch.Tensor]:
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(IDS).logits.float()
    trained = [p for p in model.parameters() if p.requires_grad]
    return [logits, *torch.autograd.grad(logits.square().mean(), trained)]


def lean(model: PeftModel) -> PeftModel:
    model = copy.deepcopy(model)
    use_lean_lora(model)
    return model


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_values_and_gradients(source_folder: Path, dropout: float):
    model = adapted(source_folder, dropout=dropout)
    for one, other in zip(results(lean(model)), results(model), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_under_autocast(source_folder: Path):
    """As close to float32 as PEFT's own, in fewer operations."""
    exact = results(adapted(source_folder))
    model = adapted(source_folder, torch.bfloat16)
    counts, distances = [], []
    for variant in (model, lean(model)):
        with Operations() as operations:
            found = results(variant, autocast=True)
        counts.append(operations.counts)
        distances.append([((a - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True)])
    assert all(ours < 1.5 * theirs + 0.01 for theirs, ours in zip(*distances, strict=True)), distances
    adapters = 8
    # What an adapter reads is cast forth and back again, and its gradient too; its output is scaled and added, and
    # its gradient is scaled.
    fewer = {name: counts[0][name] - counts[1][name] for name in counts[0]}
    assert fewer["aten::_to_copy"] >= 3 * adapters and fewer["aten::add.Tensor"] >= adapters, fewer
    assert counts[0].total() - counts[1].total() >= 5 * adapters, fewer


def test_what_is_saved_is_an_adapter_like_others(source_folder: Path, tmp_path: Path):
    model = adapted(source_folder)
    # PEFT has a set of names here, and the order of a set's copy may be another one.
    model.peft_config["default"].target_modules = sorted(model.peft_config["default"].target_modules)
    lean(model).save_pretrained(tmp_path / "lean")
    model.save_pretrained(tmp_path / "plain")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "lean" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_other_variants_are_left_as_they_are(source_folder: Path):
    base = AutoModelForCausalLM.from_pretrained(source_folder, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], use_dora=True, task_type="CAUSAL_LM"))
    before = results(model)[0]
    use_lean_lora(model)
    torch.testing.assert_close(results(model)[0], before)
