"""What an inference backend, which generates answers, has to offer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from ...config.catalogue import Server
from ...config.conditions import Sampling
from ...errors import JobError


@dataclass(frozen=True)
class Generation:
    """Token ids of an answer, without the stop token, and why it ended."""

    ids: list[int]
    finish_reason: Literal["stop", "length"]

    @classmethod
    def of_engine(
        cls, ids: list[int], finish_reason: str | None, limit: int, stop_ids: list[int], written: int | None = None
    ) -> "Generation":
        """Convert what a backend returned for at most `limit` tokens, with or without the token that ended it.

        `written` is the backend's own count of tokens, for one that returns text.

        Raises:
            JobError: the backend gave up, or cut an answer before the limit because it had no room for more.
        """
        if finish_reason not in ("stop", "length"):
            raise JobError(f"the inference backend ended an answer because of {finish_reason!r}")
        written = len(ids) if written is None else written
        if finish_reason == "length" and written < limit:
            raise JobError(
                f"the inference backend cut an answer after {written} of {limit} tokens: its context is too short for "
                "a prompt and its answer; give it a longer one (--max-model-len of a server) or lower "
                "evaluation.max_new_tokens"
            )
        ended = finish_reason == "stop" and bool(ids) and ids[-1] in stop_ids
        return cls(list(ids[:-1] if ended else ids), finish_reason)


@dataclass(frozen=True)
class Setting:
    """What backends are made from; each takes what it needs.

    `names` are other names of the model than its folder's, `max_tokens` bounds a prompt with its answer, `gpus` were
    allotted to the job, `checkpoints` are all that will be asked for, and `sampling` says how tokens are drawn, None
    for the likeliest ones. A backend that can't draw them refuses.
    """

    model_folder: Path
    names: list[str]
    tokenizer: Any
    precision: str
    max_tokens: int
    gpus: int
    server: Server
    checkpoints: list[Path]
    sampling: Sampling | None = None


class Backend(Protocol):
    """Generation from token ids, greedy but for `Setting.sampling`; every backend's file has one.

    It is made by `create(setting)`.

    `name` is its file's name without `_backend`, and `engine` the version in the predictions.
    `batch_tokens` bounds prompt and answer tokens of what is handed over at once, and so of what an interruption loses;
    None leaves it to `evaluation.batch_tokens`, for a backend whose memory it bounds.
    """

    name: str
    engine: str
    batch_tokens: int | None

    def use(self, checkpoint: Path | None) -> None:
        """Generate with this checkpoint, an adapter or a whole model, from now on; None for the base model."""

    def generate(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        """Generate one answer a prompt, in the order of the prompts."""

    def close(self) -> None:
        """Release what the backend holds."""
