"""Limits that a model's folder states beside the weights: tokenizer, end tokens, numbers of tokens and positions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import JobError
from .model_config import config_of

# Ways of scaling rotary positions whose factor `max_position_embeddings` may not have in it; with the others (llama3,
# longrope), and where layers differ in their scaling (Gemma 3), it has.
SCALED = ("linear", "dynamic", "yarn")


@dataclass(frozen=True)
class Limits:
    """Numbers of tokens with an embedding, and of positions; None where the folder has no such number."""

    tokens: int | None = None
    positions: int | None = None

    def check_length(self, length: int, what: str) -> None:
        """Refuse a text that the model was not made for.

        Raises:
            JobError: there are more tokens than positions.
        """
        if self.positions is not None and length > self.positions:
            raise JobError(
                f"{what} has {length} tokens, more than the {self.positions} positions that the model has "
                "(max_position_embeddings)"
            )


UNKNOWN = Limits()


def limits_of(folder: Path) -> Limits:
    """Read the limits of a model folder; none of a folder that has only a tokenizer.

    Raises:
        JobError: the configuration can't be read.
    """
    if not (folder / "config.json").is_file():
        return UNKNOWN
    config = config_of(folder).get_text_config()
    return Limits(config.vocab_size, positions_of(config))


def positions_of(config: Any) -> int | None:
    """Return how many positions a model has, the scaling of its rotary positions included."""
    known = getattr(config, "max_position_embeddings", None)
    if not isinstance(known, int) or known < 1:
        return None
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in SCALED:
        original = rope.get("original_max_position_embeddings") or known
        known = max(known, int(original * (rope.get("factor") or 1)))
    return known


def ends_of(folder: Path) -> list[int]:
    """Read the tokens at which a model's generation settings end an answer.

    Raises:
        JobError: they can't be read.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        return []
    try:
        ends = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
    except (ValueError, AttributeError) as error:
        raise JobError(f"{path} can't be read as JSON: {error}") from None
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(isinstance(end, int) for end in ends):
        raise JobError(f"{path}: eos_token_id must be a token's number or a list of them, not {ends}")
    return ends
