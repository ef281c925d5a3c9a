"""Loading a fetched model: safetensors only, no code from it, in the precision that the device has."""

import logging
import os
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from ..data.manifest import read_manifest
from ..data.model_config import check_loaded, config_of
from ..errors import JobError
from .hidden_states import decoder_of, logits_of

log = logging.getLogger("fewshot_distillation")
transformers_logging.disable_progress_bar()


def device() -> torch.device:
    """Return the GPU of this process, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def dtype_for(precision: str, where: torch.device) -> torch.dtype:
    """Return bfloat16 if asked for and the hardware computes in it, else float32 (bfloat16 emulated is far slower)."""
    if precision == "fp32":
        return torch.float32
    if where.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() or _arm_bf16()
    if not native:
        log.info("precision bf16: %s has no bfloat16 arithmetic, so float32 is used", where)
    return torch.bfloat16 if native else torch.float32


def _arm_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and " bf16 " in cpuinfo.read_text().replace("\n", " \n")


def load_model(folder: Path, precision: str, home: torch.device | None = None) -> PreTrainedModel:
    """Load the causal language model of a fetched folder, frozen and in evaluation mode.

    Its weights are on `home`, by default this process's device, in the precision that the device computes in.
    """
    read_manifest(folder)
    return load_weights(folder, precision, home)


def load_weights(folder: Path, precision: str, home: torch.device | None = None) -> PreTrainedModel:
    """Load as `load_model` does, from a folder without a manifest of its own, such as a checkpoint."""
    log.info("loading %s", folder)
    try:
        config = config_of(folder)
        # PyTorch's attention ignores a cap on its scores, and a model that was trained with one needs it.
        caps = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype_for(precision, device()),
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="eager" if caps else None,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise JobError(f"{folder}: can't be loaded as a causal language model: {error}") from None
    check_loaded(info, str(folder))
    model = model.to(home or device()).eval().requires_grad_(False)
    _check_parts(model, folder)
    return model


@torch.inference_mode()
def _check_parts(model: PreTrainedModel, folder: Path) -> None:
    """Layers, final norm and head must make up the model: some scale their logits on the way.

    Raises:
        JobError: the parts are missing, or logits put together from them differ from the model's own.
    """
    decoder = decoder_of(model)
    if not hasattr(decoder, "layers") or not hasattr(decoder, "norm"):
        raise JobError(f"{folder}: {type(model).__name__} has no decoder with `layers` and a final `norm`")
    ids = torch.arange(1, 5, device=model.device).unsqueeze(0)
    ours = logits_of(model, decoder(input_ids=ids, use_cache=False).last_hidden_state)
    theirs = model(input_ids=ids, use_cache=False).logits.float()
    if not torch.allclose(ours, theirs, rtol=0.02, atol=0.02 * theirs.abs().max().item()):
        raise JobError(f"{folder}: {type(model).__name__} changes its logits after the head in an unsupported way")
