"""What an engine that generates answers has to offer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True)
class Generation:
    """Token ids of an answer, without the stop token, and why it ended."""

    ids: list[int]
    finish_reason: Literal["stop", "length"]


class Backend(Protocol):
    """Greedy generation from token ids."""

    def use(self, adapter: Path | None) -> None:
        """Generate with this adapter from now on, or with the untrained model."""

    def generate(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        """One answer a prompt, in the order of the prompts."""
