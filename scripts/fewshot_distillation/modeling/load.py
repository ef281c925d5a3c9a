"""Loading a fetched model: safetensors only, no code from it, in the precision that the device has."""

import logging
import os
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from ..data.models import read_manifest
from ..runtime.errors import JobError

log = logging.getLogger("fewshot_distillation")
transformers_logging.disable_progress_bar()


def device() -> torch.device:
    """The GPU of this process, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def dtype_for(precision: str, where: torch.device) -> torch.dtype:
    """bfloat16 if it is asked for and the hardware computes in it, else float32 (bfloat16 emulated is far slower)."""
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


def load_model(folder: Path, precision: str) -> PreTrainedModel:
    """The causal language model of a fetched folder, frozen and in evaluation mode, on this process's device."""
    read_manifest(folder)
    where = device()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype_for(precision, where), use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise JobError(f"{folder}: can't be loaded as a causal language model: {error}") from None
    return model.to(where).eval().requires_grad_(False)
