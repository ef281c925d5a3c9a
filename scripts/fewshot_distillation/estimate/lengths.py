"""How many questions there are, and how many tokens they and their answers have."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..config.sources import HubDataset
from ..config.specs import DatasetSpec
from ..data.datasets import load_rows, written_rows
from ..data.rows import Row, read_jsonl
from ..errors import JobError
from ..tasks import task_of

# Tokens that a chat template puts around a message, and around the last question with its generation prompt.
TURN, ASKING = 5, 12
# Characters a token, where no tokenizer is there yet: GSM8K with Qwen3's, whose answers are full of digits.
QUESTION_CHARACTERS, ANSWER_CHARACTERS = 3.9, 2.4
SAMPLE = 512


@dataclass(frozen=True)
class Lengths:
    """Rows of each split, and mean tokens of a question and of an answer; `source` says how they are known."""

    rows: dict[str, int]
    question: float
    answer: float
    source: str

    def prompt(self, shots: int) -> float:
        """Return the mean tokens of a prompt with so many demonstrations."""
        return self.demonstrations(shots) + self.question + ASKING

    def demonstrations(self, shots: int) -> float:
        return shots * (self.question + self.answer + 2 * TURN)

    def asked(self, split: str, questions: int | None) -> int:
        return self.rows[split] if questions is None else min(questions, self.rows[split])


GSM8K = Lengths({"train": 7473, "test": 1319}, 61, 125, "measured on GSM8K with Qwen3's tokenizer")


def lengths_of(spec: DatasetSpec, fetched: Path, tokenizer: Path) -> Lengths | None:
    """Return the lengths of a dataset, by what is fetched or can be read without a network; None if nothing can.

    Args:
        fetched: folder of the fetched dataset.
        tokenizer: tokenizer.json of a fetched model.
    """
    if (fetched / "test.jsonl").is_file():
        splits = [split for split in ("train", "test", "validation") if (fetched / f"{split}.jsonl").is_file()]
        rows = {split: read_jsonl(fetched / f"{split}.jsonl") for split in splits}
        return _measured(rows, {split: len(part) for split, part in rows.items()}, tokenizer)
    if isinstance(spec.source, HubDataset):
        return _limited(GSM8K, spec) if spec.source.hub == "openai/gsm8k" else None
    try:
        loaded, _ = load_rows(spec.source)
        rows = {split: written_rows(task_of(spec.task), part, spec.on_bad_rows)[0] for split, part in loaded.items()}
    except JobError:  # which the job that fetches it will explain
        return None
    return _limited(_measured(rows, {split: len(part) for split, part in rows.items()}, tokenizer), spec)


def _limited(found: Lengths, spec: DatasetSpec) -> Lengths:
    train = min(found.rows["train"], spec.limit_train or found.rows["train"])
    test = min(found.rows["test"], spec.limit_test or found.rows["test"])
    return replace(found, rows={"train": train - spec.validation, "test": test, "validation": spec.validation})


def _measured(rows: dict[str, list[Row]], counts: dict[str, int], tokenizer: Path) -> Lengths:
    sample = rows["train"][:SAMPLE]
    questions, answers = ([row[key] for row in sample] for key in ("question", "answer"))
    if tokenizer.is_file():
        from tokenizers import Tokenizer

        encode = Tokenizer.from_file(str(tokenizer)).encode_batch
        means = [
            sum(len(e.ids) for e in encode(texts, add_special_tokens=False)) / len(texts)
            for texts in (questions, answers)
        ]
        return Lengths(counts, *means, "measured on the dataset with a fetched tokenizer")
    mean = [sum(map(len, texts)) / len(texts) for texts in (questions, answers)]
    question, answer = mean[0] / QUESTION_CHARACTERS, mean[1] / ANSWER_CHARACTERS
    return Lengths(counts, question, answer, "estimated from the dataset's character counts")
