"""Prompts, positions and reference answers on the study's own data: GSM8K with Qwen3's tokenizer."""

import json
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fewshot_distillation.config.catalogue import Training
from fewshot_distillation.config.conditions import Teacher
from fewshot_distillation.config.sources import FilesDataset
from fewshot_distillation.config.specs import DatasetSpec
from fewshot_distillation.data.datasets import check_disjoint, fetch_dataset, read_source_file
from fewshot_distillation.data.demonstrations import Demonstrations
from fewshot_distillation.data.prompts import Prompt, PromptBuilder, check_same_query
from fewshot_distillation.data.rows import read_jsonl, same_question
from fewshot_distillation.student.examples import build_streams
from fewshot_distillation.tasks import task_of
from fewshot_distillation.tasks.rules.numbers import flexible, strict
from tiny import train_spec

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
GENERATION_PROMPT = "<|im_start|>assistant\n<think>\n\n</think>\n\n"


def needed(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout")
    return path


def source_rows(split: str) -> list[dict]:
    return [row for _, row in read_source_file(needed(f"gsm8k/{split}.jsonl"))]


@pytest.fixture(scope="module")
def train() -> list[dict]:
    return source_rows("train")


@pytest.fixture(scope="module")
def test() -> list[dict]:
    return source_rows("test")


@pytest.fixture(scope="module")
def qwen() -> PromptBuilder:
    return PromptBuilder.of_model(needed("qwen3-tokenizer"), {"enable_thinking": False})


def test_every_reference_answer_parses(train: list[dict], test: list[dict]):
    assert (len(train), len(test)) == (7473, 1319)
    values = [Fraction(task_of("gsm8k").reference(row)) for row in train + test]
    assert sum(value < 0 for value in values) == 5
    for read in (strict, flexible):
        assert [read(row["answer"]) for row in train + test] == values
    for heading in ("A: ", "The answer is "):
        assert [flexible(row["answer"].replace("#### ", heading)) for row in train + test] == values
    check_disjoint(train, test)


def test_labelled_solutions():
    """Of four models to all test questions (openai/grade-school-math), with the labels of their own scorer."""
    path = needed("grade-school-math/example_model_solutions.jsonl")
    rows = [row for _, row in read_source_file(path)]
    solutions = [(row["ground_truth"], one) for row in rows for one in row.values() if isinstance(one, dict)]
    assert len(solutions) == 5276
    wrong = [s for truth, s in solutions if (flexible(s["solution"]) == flexible(truth)) != s["is_correct"]]
    assert not wrong, wrong[:3]


def test_calculator_marks_are_stripped(train: list[dict], test: list[dict], tmp_path: Path):
    """From nearly every answer; what has none stays as it is, and so do the numbers."""
    files = FilesDataset.Paths(**{split: str(DATA / "gsm8k" / f"{split}.jsonl") for split in ("train", "test")})
    spec = DatasetSpec(name="gsm8k", source=FilesDataset(files=files), calculation_annotations="strip")
    started = time.process_time()
    fetch_dataset(spec, tmp_path / "train.jsonl", tmp_path / "test.jsonl", tmp_path / "meta.json")
    assert time.process_time() - started < 20, "reading and checking all of GSM8K takes a second or two"
    untouched = []
    for split, rows in (("train", train), ("test", test)):
        stripped = read_jsonl(tmp_path / f"{split}.jsonl")
        assert [row["question"] for row in stripped] == [row["question"] for row in rows]
        assert [row["reference"] for row in stripped] == [task_of("gsm8k").reference(row) for row in rows]
        assert not any("<<" in row["answer"] or ">>" in row["answer"] for row in stripped)
        same = [new["answer"] == old["answer"] for new, old in zip(stripped, rows, strict=True)]
        assert same == ["<<" not in row["answer"] for row in rows]
        untouched.append(sum(same))
    assert untouched == [95, 18]
    assert json.loads((tmp_path / "meta.json").read_text())["dataset"]["calculation_annotations"] == "strip"
    first = read_jsonl(tmp_path / "train.jsonl")[0]["answer"]
    assert first.startswith("Natalia sold 48/2 = 24 clips in May.\nNatalia sold 48+24 = 72 clips")


class Ends:
    """How a question and its generation prompt end, as tokens."""

    def __init__(self, qwen: PromptBuilder) -> None:
        self.tokenizer = qwen.tokenizer
        self.behind = qwen.tokenizer(GENERATION_PROMPT)["input_ids"]
        self.newline = qwen.tokenizer("<|im_end|>\n")["input_ids"]

    def check(self, prompt: Prompt, question: str) -> None:
        end = prompt.question_end
        assert prompt.ids[end - 1 : end + 1] == self.newline
        assert prompt.ids[end + 1 :] == self.behind and prompt.prompt_end == len(prompt.ids) - 1
        asked = prompt.ids[max(0, end - 1 - 2 * len(question)) : end - 1]
        assert self.tokenizer.decode(asked).endswith(f"<|im_start|>user\n{question}")


@pytest.mark.slow
@pytest.mark.parametrize(("split", "mean", "longest"), [("train", 1604, 2462), ("test", 1607, 2350)])
def test_every_prompt(train: list[dict], test: list[dict], qwen: PromptBuilder, split: str, mean: int, longest: int):
    """All questions with eight demonstrations and with none: positions, demonstrations, lengths in tokens."""
    ends, demonstrations = Ends(qwen), Demonstrations(train, Teacher())
    lengths = []
    for index, row in enumerate(train if split == "train" else test):
        question = row["question"]
        shown = demonstrations.draw(split, index, question)
        assert len(shown) == 8 and same_question(question) not in {same_question(r["question"]) for r in shown}
        few, zero = qwen.build(question, shown), qwen.build(question)
        check_same_query(qwen, few, zero, question, f"{split} example {index}")
        for prompt in (few, zero):
            ends.check(prompt, question)
        lengths.append(len(few.ids))
    assert (round(np.mean(lengths)), max(lengths)) == (mean, longest)


def test_against_two_renderings_in_two_halves(train: list[dict], qwen: PromptBuilder):
    """The slow way to the same tokens: with and without generation prompt, and each half tokenised by itself."""
    demonstrations = Demonstrations(train, Teacher())
    for index, row in enumerate(train[:50]):
        shown = demonstrations.draw("train", index, row["question"])
        messages = []
        for one in shown:
            messages += [{"role": "user", "content": one["question"]}, {"role": "assistant", "content": one["answer"]}]
        messages.append({"role": "user", "content": row["question"]})
        before, whole = (
            qwen.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=asked, enable_thinking=False
            )
            for asked in (False, True)
        )
        head, tail = (qwen.tokenizer(text)["input_ids"] for text in (before, whole[len(before) :]))
        assert qwen.build(row["question"], shown) == Prompt(head + tail, len(head) - 1, len(head + tail) - 1)


def sequences_of(train: list[dict], qwen: PromptBuilder, limit: int) -> list:
    spec = train_spec(training__default__max_tokens=limit)
    return [example.sequence for example in build_streams(spec, train, qwen).streams[0]]


@pytest.mark.slow
def test_training_sequences(train: list[dict], qwen: PromptBuilder):
    """Four sequences are longer than the study's 512 tokens, by 1 to 37; no other one is cut."""
    whole = sequences_of(train, qwen, 4096)
    lengths = [len(sequence.ids) for sequence in whole]
    assert (round(np.mean(lengths)), max(lengths)) == (194, 549)
    cut = [n for n, sequence in enumerate(sequences_of(train, qwen, Training().max_tokens)) if sequence.cut]
    assert cut == [n for n, length in enumerate(lengths) if length > 512] == [310, 3750, 4967, 6732]
    for row, sequence in zip(train, whole, strict=True):
        assert qwen.tokenizer.decode(sequence.answer) == f"{row['answer']}<|im_end|>"


def test_stop_tokens(qwen: PromptBuilder):
    assert qwen.tokenizer.decode(qwen.stop_ids) == "<|im_end|>"


def test_fixed_demonstrations_are_always_eight(train: list[dict]):
    """One that is drawn for itself is left out, and another one stands in for it."""
    demonstrations = Demonstrations(train, Teacher(demonstrations="fixed"))
    for index, row in enumerate(train):
        assert len(demonstrations.draw("train", index, row["question"])) == 8


@pytest.mark.parametrize("key", ["question", "answer"])
def test_unrelated_demonstrations_are_as_long_as_those_they_replace(qwen: PromptBuilder, train: list[dict], key: str):
    """Or a control would differ from what it controls for in the length of its prompt as well."""
    tokens = []
    for content in ("correct", "unrelated_text"):
        drawn = Demonstrations(train, Teacher(shots=8, content=content))
        rows = [row for index in range(60) for row in drawn.draw("train", index, train[index]["question"])]
        tokens.append(sum(len(qwen.tokenizer(row[key], add_special_tokens=False).input_ids) for row in rows))
    assert tokens[1] == pytest.approx(tokens[0], rel=0.1)
