"""The sequences that a run learns from, and which of them a step sees: functions of seed and step alone."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..config.conditions import REFERENCE
from ..config.specs import TrainSpec
from ..config.targets import POSITIONS
from ..data.prompts import Prompt, PromptBuilder
from ..data.rows import Row
from ..data.selection import chosen_rows, labelled_rows, subset
from ..data.sequences import Sequence, answer_tokens, zero_shot_prompts
from ..errors import JobError, about


@dataclass(frozen=True)
class Example:
    """A zero-shot sequence of a training row, and which terms of the loss it has."""

    index: int
    sequence: Sequence
    cross_entropy: bool
    targets: bool


@dataclass(frozen=True)
class Streams:
    """The examples of a run: each stream fills an effective batch of its own in every step.

    `dropped` is how many of a teacher's answers were left out because they are wrong.
    """

    streams: list[list[Example]]
    dropped: int = 0

    @property
    def all(self) -> list[Example]:
        return [example for stream in self.streams for example in stream]

    def of_step(self, step: int, batch_size: int, seed: int) -> list[Example]:
        """Return examples of an optimizer step, counted from 0."""
        return [
            stream[i]
            for number, stream in enumerate(self.streams)
            for i in examples_of_step(step, batch_size, len(stream), seed + number)
        ]


def build_streams(
    spec: TrainSpec, train: list[Row], builder: PromptBuilder, written: Path | None = None, judged: Path | None = None
) -> Streams:
    """Build every sequence that a run learns from.

    Args:
        written: the table of a teacher's answers, for a condition that learns from those.
        judged: which of them are right, for a condition that keeps no others.

    Raises:
        JobError: a question leaves no room for an answer, or no example is left.
    """
    learning, limit = spec.learning, spec.training.max_tokens
    chosen = chosen_rows(len(train), learning.examples, spec.labelled)
    kept = set(chosen) if judged is None else _right(judged)
    left = [i for i in chosen if i in kept]
    # Fewer would be trained under the name of more; without any, what is said below fits better.
    if left and (spec.train_examples or 0) > len(left):
        raise JobError(
            f"condition '{spec.condition_name}': expected {spec.train_examples} training examples (train_examples), "
            f"got {len(left)} to draw them from; lower train_examples"
        )
    rows = subset(left, spec.train_examples, spec.seed)
    own_cross_entropy = learning.cross_entropy > 0 and learning.sft_examples is None
    # Without a term at answer tokens nothing of an answer is read, so that unlabelled questions need none.
    if own_cross_entropy or any(target.span not in POSITIONS for target in learning.targets):
        answers = answer_tokens(learning.answers, train, builder, written)
    else:
        answers = [[]] * len(train)
    labelled = [] if learning.sft_examples is None else labelled_rows(len(train), spec.labelled)
    prompts = zero_shot_prompts(builder, {i: train[i] for i in (*rows, *labelled)})
    taught = bool(learning.targets)
    streams = [[_example(i, prompts[i], answers[i], builder, limit, own_cross_entropy, taught) for i in rows]]
    if learning.sft_examples is not None:
        references = answer_tokens(REFERENCE, train, builder, None)
        streams.append([_example(i, prompts[i], references[i], builder, limit, True, False) for i in labelled])
    if not all(streams):
        raise JobError(f"condition '{spec.condition_name}': there is no training example left to learn from")
    return Streams(streams, len(chosen) - len(kept & set(chosen)))


def _right(judged: Path) -> set[int]:
    import pandas as pd

    table = pd.read_parquet(judged)
    return set(table.loc[table["correct"].astype(bool), "question_index"].tolist())


def _example(
    index: int, prompt: Prompt, answer: list[int], builder: PromptBuilder, limit: int, cross_entropy: bool, taught: bool
) -> Example:
    with about(f"training example {index}"):
        builder.limits.check_length(min(limit, len(prompt.ids) + len(answer)), "the question with its answer")
    room = limit - len(prompt.ids)
    if room < 1:
        raise JobError(
            f"training example {index}: the question alone has {len(prompt.ids)} tokens and leaves no room for an "
            f"answer within training.max_tokens {limit}"
        )
    return Example(index, Sequence(prompt, answer[:room], len(answer) > room), cross_entropy, taught)


def examples_of_step(step: int, batch_size: int, count: int, seed: int) -> list[int]:
    """Return indices of the examples of an optimizer step (counted from 0): epochs of permutations, one after another.

    An example may come twice in one step where an epoch ends in it.
    """
    places = range(step * batch_size, (step + 1) * batch_size)
    return [_permutation(place // count, count, seed)[place % count] for place in places]


_cached: dict[tuple[int, int, int], list[int]] = {}


def _permutation(epoch: int, count: int, seed: int) -> list[int]:
    key = (epoch, count, seed)
    if key not in _cached:
        if len(_cached) > 8:  # of a few streams, this epoch's and the next one's
            _cached.clear()
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        _cached[key] = torch.randperm(count, generator=generator).tolist()
    return _cached[key]
