"""Positions and reference answers on the study's own data: GSM8K with Qwen3's tokenizer."""

from pathlib import Path

import pytest

from fewshot_distillation.data.datasets import check_disjoint
from fewshot_distillation.data.gold import gold
from fewshot_distillation.data.prompts import Demonstrations, PromptBuilder, check_same_query
from fewshot_distillation.data.rows import read_jsonl

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
EXAMPLES = 200


def needed(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is missing in the folder shared/data beside the checkout")
    return path


@pytest.fixture(scope="module")
def train() -> list[dict]:
    return read_jsonl(needed("gsm8k/train.jsonl"))


@pytest.fixture(scope="module")
def qwen() -> PromptBuilder:
    return PromptBuilder.of_model(needed("qwen3-tokenizer"), {"enable_thinking": False})


def test_every_reference_answer_parses(train: list[dict]):
    test = read_jsonl(needed("gsm8k/test.jsonl"))
    assert (len(train), len(test)) == (7473, 1319)
    values = [gold(row["answer"]) for row in train + test]
    assert sum(value < 0 for value in values) == 5
    check_disjoint(train, test)


def test_positions(train: list[dict], qwen: PromptBuilder):
    """In few-shot and zero-shot prompts alike."""
    tokenizer, demonstrations = qwen.tokenizer, Demonstrations(train, 8, "per_example", 42)
    end_of_turn, newline = tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer("\n")["input_ids"]
    for index, row in enumerate(train[:EXAMPLES]):
        shown = demonstrations.draw("train", index, row["question"])
        few, zero = qwen.build(row["question"], shown), qwen.build(row["question"])
        check_same_query(qwen, few, zero, row["question"], f"training example {index}")
        for prompt in (few, zero):
            end = prompt.question_end
            assert prompt.ids[end - 1 : end + 1] == [end_of_turn, *newline]
            assert tokenizer.decode(prompt.ids[end + 1 :]) == "<|im_start|>assistant\n<think>\n\n</think>\n\n"
            assert tokenizer.decode(prompt.ids[: end - 1]).endswith(row["question"].strip())


def test_stop_tokens(qwen: PromptBuilder):
    assert qwen.tokenizer.decode(qwen.stop_ids) == "<|im_end|>"


def test_answers_survive_tokenisation(train: list[dict], qwen: PromptBuilder):
    for row in train[:EXAMPLES]:
        assert qwen.tokenizer.decode(qwen.answer_ids(row["answer"])[:-1]) == row["answer"]


def test_demonstrations_are_always_eight(train: list[dict]):
    """One that is drawn for itself is left out, and another one stands in for it."""
    for policy in ("per_example", "fixed"):
        demonstrations = Demonstrations(train, 8, policy, 42)
        for index, row in enumerate(train):
            assert len(demonstrations.draw("train", index, row["question"])) == 8
