"""Training sequences and the micro batches of each optimizer step, as pure functions of seed and step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.prompts import Prompt, PromptBuilder
from ..data.rows import Row
from ..runtime.errors import JobError


@dataclass(frozen=True)
class Sequence:
    """A zero-shot prompt and its answer as tokens; `cut` says that the answer was too long."""

    prompt: Prompt
    answer: list[int]
    cut: bool

    @property
    def ids(self) -> list[int]:
        return self.prompt.ids + self.answer


def build_sequences(rows: list[Row], builder: PromptBuilder, max_tokens: int) -> list[Sequence]:
    """A sequence of at most `max_tokens` for every row.

    Raises:
        JobError: a question leaves no room for an answer.
    """
    sequences = []
    for index, row in enumerate(rows):
        prompt, answer = builder.build(row["question"]), builder.answer_ids(row["answer"])
        room = max_tokens - len(prompt.ids)
        if room < 1:
            raise JobError(
                f"training example {index}: the question alone has {len(prompt.ids)} tokens and leaves no room for an "
                f"answer within training.max_tokens {max_tokens}"
            )
        sequences.append(Sequence(prompt, answer[:room], len(answer) > room))
    return sequences


def examples_of_step(step: int, batch_size: int, count: int, seed: int) -> list[int]:
    """Indices of the examples of an optimizer step (counted from 0): epochs of permutations, one after another.

    An example may come twice in one step where an epoch ends in it.
    """
    indices = []
    for place in range(step * batch_size, (step + 1) * batch_size):
        indices.append(_permutation(place // count, count, seed)[place % count])
    return indices


_cached: tuple[tuple[int, int, int], list[int]] | None = None


def _permutation(epoch: int, count: int, seed: int) -> list[int]:
    global _cached
    if _cached is None or _cached[0] != (epoch, count, seed):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        _cached = ((epoch, count, seed), torch.randperm(count, generator=generator).tolist())
    return _cached[1]


def collate(sequences: list[Sequence], position: str | None, pad_id: int) -> dict[str, Tensor]:
    """Right-padded tensors of a micro batch.

    There is no attention mask: padding comes last and attention is causal, so no token that counts ever sees it, and
    without a mask attention takes its fastest path.

    Returns:
        `input_ids` (batch, length); `rows`, `columns` and `targets` (answer tokens): where each
        answer token is predicted, which is one place before it stands, and which token it is; `positions` (batch, 1)
        of the compared token.
    """
    length = max(len(sequence.ids) for sequence in sequences)
    ids = torch.full((len(sequences), length), pad_id)
    rows, columns, targets = [], [], []
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
        first = len(sequence.prompt.ids) - 1
        rows += [row] * len(sequence.answer)
        columns += range(first, first + len(sequence.answer))
        targets += sequence.answer
    batch = {
        "input_ids": ids,
        "rows": torch.tensor(rows),
        "columns": torch.tensor(columns),
        "targets": torch.tensor(targets),
    }
    if position:
        batch["positions"] = torch.tensor([[sequence.prompt.position(position)] for sequence in sequences])
    return batch
