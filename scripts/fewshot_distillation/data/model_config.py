"""What everything that builds a model from a folder has in common: its configuration, and a look at what was loaded."""

from pathlib import Path
from typing import Any

from ..runtime.errors import JobError


def config_of(folder: Path) -> Any:
    """Read a model folder's configuration, without a padding token that the model has no embedding of.

    Padding is never read here, and PyTorch builds no embedding with one outside it.

    Raises:
        JobError: it can't be read without running code of the model's.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        parts = [config, config.get_text_config()]
    except Exception as error:  # what a class makes of values that it doesn't expect
        words = " ".join(str(error).split())[:300]
        raise JobError(f"{folder}/config.json can't be read without running code from the model: {words}") from None
    for part in parts:
        pad, size = getattr(part, "pad_token_id", None), getattr(part, "vocab_size", None)
        if isinstance(pad, int) and isinstance(size, int) and not 0 <= pad < size:
            part.pad_token_id = None
    return config


def check_loaded(info: dict[str, Any], where: str) -> None:
    """Refuse a model of which the loader made up some weights.

    Args:
        info: the loader's account of what it did.

    Raises:
        JobError: a weight is missing or of another size.
    """
    if mismatched := sorted(info["mismatched_keys"]):
        name, found, wanted = mismatched[0]
        raise JobError(
            f"{where}: {name} has shape {list(found)} in the weights, but config.json makes it {list(wanted)}; they "
            "belong to different models"
        )
    if missing := sorted(info["missing_keys"]):
        raise JobError(
            f"{where}: the weights lack {missing[0]} ({len(missing)} missing), which would be random numbers"
        )
