"""What everything that uses a model folder has in common: its configuration, its tokenizer, and a look at what was
loaded."""

from pathlib import Path
from typing import Any

from ..errors import JobError, one_line


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
        raise JobError(
            f"{folder}/config.json can't be read without running code from the model: {one_line(error)}"
        ) from None
    for part in parts:
        pad, size = getattr(part, "pad_token_id", None), getattr(part, "vocab_size", None)
        if isinstance(pad, int) and isinstance(size, int) and not 0 <= pad < size:
            part.pad_token_id = None
    return config


def tokenizer_of(folder: Path) -> Any:
    """Load a folder's tokenizer.

    Raises:
        JobError: it can't be loaded without running the model's own code, or has no offsets of characters.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library that reads tokenizer.json raises plain ones
        raise JobError(
            f"{folder}: the tokenizer can't be loaded without running code from the model: {one_line(error)}"
        ) from None
    if not tokenizer.is_fast:
        raise JobError(
            f"{folder}: expected tokenizer.json, which maps tokens to characters, and found none; convert "
            "it with AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        )
    return tokenizer


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
