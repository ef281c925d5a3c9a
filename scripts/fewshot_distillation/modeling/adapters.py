"""Checkpoints ready for inference, and adapters that fit their model in every tensor."""

import logging
import re
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, PeftModelForCausalLM, PeftType
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from ..data.checkpoints import is_adapter
from ..data.model_config import config_of
from ..errors import JobError
from .load import load_model, load_weights

log = logging.getLogger("fewshot_distillation")
PROBE = 16


def load_checkpoint(model_folder: Path, checkpoint: Path, precision: str) -> PreTrainedModel:
    """Load a model to generate with, frozen and in evaluation mode, on this process's device.

    An adapter is merged into its model. Where that would change the model's answers, its layers stay beside the
    model's own.

    Args:
        model_folder: the fetched model.
        checkpoint: an adapter to the fetched model, or a whole model, which takes its place; which of them it is, its
            files tell.

    Raises:
        JobError: the checkpoint doesn't fit the model.
    """
    if not is_adapter(checkpoint):
        return load_weights(checkpoint, precision)
    adapted = merged = adapt(load_model(model_folder, precision), checkpoint).eval()
    unmerged = probe(adapted)
    if not torch.isfinite(unmerged).all():
        raise JobError(f"{checkpoint}: the outputs of the model with the adapter are not finite")
    try:
        _separate(adapted)
        merged = adapted.merge_and_unload(safe_merge=True).eval()
        # Rounding of merged weights shows in the logits; 8 steps of the precision are more than that.
        tolerance = max(1e-3, 8 * torch.finfo(merged.dtype).eps) * unmerged.abs().max()
        if (probe(merged) - unmerged).abs().max() <= tolerance:
            return merged
    except (ValueError, NotImplementedError, AttributeError) as error:
        log.info("%s: not merged: %s", checkpoint, error)
    log.info("%s: a merged model would give other logits, so the adapter's layers stay separate", checkpoint)
    del adapted, merged  # before the model is loaded again
    return adapt(load_model(model_folder, precision), checkpoint).eval().get_base_model()


# Settings of LoRA that backends with layers of their own leave out, each at its default where it does nothing.
BEYOND_PLAIN = (
    "modules_to_save", "use_dora", "lora_bias", "alora_invocation_tokens", "layer_replication", "use_bdlora",
    "use_qalora", "trainable_token_indices", "target_parameters",
)  # fmt: skip


def check_adapter(model_folder: Path, checkpoint: Path, by_peft: bool = True) -> None:
    """Check that an adapter fits its model, without the weights of either.

    Args:
        by_peft: whether PEFT applies it; other backends apply LoRA to the layers' linear modules, and may leave out the
            rest, or apply it to an embedding that is one tensor with the head.

    Raises:
        JobError: as `adapt`, or the adapter is more than such a backend applies.
    """
    with torch.device("meta"):
        adapted = adapt(AutoModelForCausalLM.from_config(config_of(model_folder), trust_remote_code=False), checkpoint)
    if not by_peft and (more := _beyond_plain(adapted)):
        raise JobError(
            f"{checkpoint}: the adapter has {more}; only evaluation.backend: transformers is known to apply that "
            "as it was trained"
        )


def _beyond_plain(adapted: PeftModel) -> str | None:
    """What an adapter has besides LoRA of linear modules within the layers."""
    config = adapted.peft_config["default"]
    if config.peft_type != PeftType.LORA:
        return f"the type {config.peft_type.value}"
    if setting := next((name for name in BEYOND_PLAIN if getattr(config, name, None)), None):
        return f"the setting {setting}"
    outside = [name for name in adapted.base_model.targeted_module_names if not re.search(r"\.\d+\.", name)]
    return f"a part for {outside[0]}, outside the layers" if outside else None


def adapt(model: PreTrainedModel, checkpoint: Path) -> PeftModel:
    """Put an adapter's layers beside those of a model; every tensor must be used, and every module get its own.

    Raises:
        JobError: the adapter isn't one that can be read, or belongs to another model.
    """
    if not (checkpoint / "adapter_model.safetensors").is_file():
        raise JobError(f"{checkpoint}: there is no adapter_model.safetensors (pickled weights are not loaded)")
    on_meta = model.device.type == "meta"
    try:
        config = PeftConfig.from_pretrained(str(checkpoint))
        if config.is_prompt_learning:
            raise JobError(
                f"{checkpoint}: an adapter that adds to the prompt ({config.peft_type.value}) is unsupported"
            )
        config.inference_mode = True
        adapted = PeftModelForCausalLM(model, config, low_cpu_mem_usage=on_meta)
        result = adapted.load_adapter(str(checkpoint), "default", low_cpu_mem_usage=on_meta)
    except JobError:
        raise
    except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
        raise JobError(f"{checkpoint}: the adapter doesn't fit the model: {_reason(error)}") from None
    if result.unexpected_keys:
        raise JobError(
            f"{checkpoint}: the adapter has {len(result.unexpected_keys)} tensors that match nothing in the model, "
            f"such as {result.unexpected_keys[0]}; it belongs to another model, or was saved from one with other names"
        )
    if result.missing_keys:
        raise JobError(
            f"{checkpoint}: adapter_config.json names modules for which there are no tensors, such as "
            f"{result.missing_keys[0].replace('.default', '')}; the file is not whole, or belongs to another model"
        )
    declared = config.target_modules if isinstance(config.target_modules, list | set | tuple) else []
    matched = adapted.base_model.targeted_module_names
    idle = [name for name in sorted(declared) if not any(m == name or m.endswith(f".{name}") for m in matched)]
    if idle:
        raise JobError(f"{checkpoint}: adapter_config.json names the module {idle[0]!r}, which the model doesn't have")
    return adapted


def _reason(error: Exception) -> str:
    """In one sentence; of sizes that differ, the first."""
    words = " ".join(str(error).split())
    if sizes := re.search(r"size mismatch for (\S+): .*? shape torch\.Size\((.*?)\).*?torch\.Size\((.*?)\)", words):
        name, found, wanted = sizes.groups()
        return (
            f"{name.replace('.default', '')} has shape {found}, the model's is {wanted}; the adapter belongs to a "
            "model of another size, or with another vocabulary"
        )
    return words[:300]


@torch.inference_mode()
def probe(model: nn.Module) -> Tensor:
    """Compute logits, (tokens, vocabulary) in float32, of a few tokens from all over the vocabulary."""
    ids = torch.linspace(0, model.config.get_text_config().vocab_size - 1, PROBE, device=model.device).long()
    return model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0].float()


def _separate(adapted: PeftModel) -> None:
    """Give layers that would be merged weights of their own: a head may be one with the embedding."""
    shared: dict[int, int] = {}
    for parameter in (p for _, p in adapted.named_parameters(remove_duplicate=False)):
        shared[id(parameter)] = shared.get(id(parameter), 0) + 1
    for module in adapted.modules():
        layer = getattr(module, "base_layer", None)
        if layer is not None and shared.get(id(getattr(layer, "weight", None)), 0) > 1:
            layer.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
