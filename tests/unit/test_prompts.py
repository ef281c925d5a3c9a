"""Prompts: the same tokens for teacher, student and evaluation, and positions that mean what they say."""

import pytest

from fewshot_distillation.data.prompts import Demonstrations, PromptBuilder, check_same_query
from fewshot_distillation.data.rows import same_question
from fewshot_distillation.data.word_problems import word_problems
from fewshot_distillation.runtime.errors import JobError
from tiny import make_tokenizer

ROWS = word_problems(20, 1, seed=2)["train"]
QUESTION = "Ann has 3 coins. How many coins does Ann have?"
THINKING = "<|im_start|>assistant\n"
NOT_THINKING = "<|im_start|>assistant\n<think>\n\n</think>\n\n"


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def plain():
    """A builder for a model without a chat template."""
    return PromptBuilder(make_tokenizer(chat=False))


@pytest.mark.parametrize("shots", [0, 3])
@pytest.mark.parametrize(("arguments", "ending"), [({}, THINKING), ({"enable_thinking": False}, NOT_THINKING)])
def test_positions_in_a_chat(tokenizer, shots: int, arguments: dict, ending: str):
    prompt = PromptBuilder(tokenizer, arguments).build(QUESTION, ROWS[:shots])
    end = prompt.question_end
    assert tokenizer.convert_ids_to_tokens(prompt.ids[end - 1]) == "<|im_end|>"
    assert tokenizer.decode([prompt.ids[end]]) == "\n"
    assert tokenizer.decode(prompt.ids[: end + 1]).endswith(f"<|im_start|>user\n{QUESTION}<|im_end|>\n")
    assert tokenizer.decode(prompt.ids[end + 1 :]) == ending
    assert prompt.prompt_end == len(prompt.ids) - 1
    assert prompt.position("question_end") == end and prompt.position("prompt_end") == prompt.prompt_end


def test_chat_prompt_is_what_the_template_renders(tokenizer, builder):
    messages = [
        {"role": "user", "content": ROWS[0]["question"]},
        {"role": "assistant", "content": ROWS[0]["answer"]},
        {"role": "user", "content": QUESTION},
    ]
    rendered = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, enable_thinking=False, tokenize=True, return_dict=True
    )
    assert builder.build(QUESTION, ROWS[:1]).ids == rendered["input_ids"]


def test_thinking_changes_the_prompt(tokenizer):
    """Arguments that reach the template in the wrong way change nothing and say nothing."""
    on, off = (PromptBuilder(tokenizer, {"enable_thinking": flag}).build(QUESTION) for flag in (True, False))
    assert off.ids[: len(on.ids)] == on.ids and len(off.ids) > len(on.ids)


@pytest.mark.parametrize("name", ["enable_thinkin", "thinking", "role", "messages_"])
def test_an_argument_that_the_template_does_not_read(tokenizer, name: str):
    """Neither a misspelling nor a part of another word counts as known."""
    with pytest.raises(JobError, match=f"chat_template.{name}: the model's chat template doesn't know '{name}'"):
        PromptBuilder(tokenizer, {name: False})


def test_an_argument_without_a_chat_template():
    with pytest.raises(JobError, match="the tokenizer has no chat template"):
        PromptBuilder(make_tokenizer(chat=False), {"enable_thinking": False})


def test_a_template_that_doesn_t_say_where_a_question_ends():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{%- for m in messages %}{{ m.content }}{%- endfor %}"
    with pytest.raises(JobError, match="writes nothing after a question"):
        PromptBuilder(tokenizer).build(QUESTION)


def test_plain_format(plain):
    prompt = plain.build(QUESTION, ROWS[:2])
    shown = "".join(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in ROWS[:2])
    assert plain.tokenizer.decode(prompt.ids) == f"{shown}Question: {QUESTION}\nAnswer:"
    assert plain.tokenizer.decode(prompt.ids[prompt.question_end + 1 :]) == "Answer:"


def test_answers_end_with_the_end_of_the_turn(builder, plain):
    assert builder.tokenizer.decode(builder.answer_ids("#### 18")) == "#### 18<|im_end|>"
    assert plain.tokenizer.decode(plain.answer_ids("#### 18")) == " #### 18<|im_end|>"


def test_end_of_turn_is_the_template_s_own_token():
    """Many chat models have another end of text than end of turn; generation has to stop at both."""
    tokenizer = make_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    builder = PromptBuilder(tokenizer)
    end_of_turn, end_of_text = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert builder.end_of_turn == end_of_turn
    assert builder.stop_ids == sorted([end_of_turn, end_of_text])
    tokenizer = make_tokenizer(chat=False)
    tokenizer.eos_token = "<|endoftext|>"
    assert PromptBuilder(tokenizer).stop_ids == [end_of_text]


@pytest.mark.parametrize("policy", ["per_example", "fixed"])
def test_demonstrations_never_hold_the_question(policy: str):
    draw = Demonstrations(ROWS, 8, policy, seed=1).draw
    for index, row in enumerate(ROWS):
        shown = draw("train", index, row["question"])
        assert row["question"] not in [s["question"] for s in shown]
        assert len(shown) == 8 == len({s["question"] for s in shown})


@pytest.mark.parametrize("policy", ["per_example", "fixed"])
def test_a_question_that_stands_twice_in_the_pool(policy: str):
    """Both copies are left out, written as they may be, and the number of shots stays what was asked for."""
    copies = [{"question": ROWS[0]["question"].upper(), "answer": "#### 1"}, ROWS[0]]
    pool = [*copies, *ROWS[1:7]]
    for seed in range(30):
        shown = Demonstrations(pool, 5, policy, seed).draw("train", 1, ROWS[0]["question"])
        assert same_question(ROWS[0]["question"]) not in [same_question(s["question"]) for s in shown]
        assert len(shown) == 5, f"seed {seed}: {len(shown)} demonstrations instead of 5"


def test_draws_depend_on_seed_split_and_index_alone():
    def draw(seed: int = 1, split: str = "train", index: int = 3) -> list[dict]:
        return Demonstrations(ROWS, 4, "per_example", seed).draw(split, index, QUESTION)

    assert draw() == draw()
    assert all(draw() != other for other in (draw(seed=2), draw(split="test"), draw(index=4)))
    one = Demonstrations(ROWS, 4, "per_example", 1)
    backwards = [one.draw("train", i, QUESTION) for i in (5, 4, 3)]
    assert backwards[-1] == draw()


def test_fixed_demonstrations_are_the_same_for_every_question():
    one = Demonstrations(ROWS, 4, "fixed", 1)
    assert one.draw("train", 0, QUESTION) == one.draw("test", 9, "Another question?")
    assert one.draw("train", 0, QUESTION) != Demonstrations(ROWS, 4, "fixed", 2).draw("train", 0, QUESTION)


def test_more_demonstrations_than_examples():
    with pytest.raises(JobError, match="20 demonstrations can't be drawn from 20 training examples"):
        Demonstrations(ROWS, 20, "fixed", 0)


def test_same_query_accepts_what_the_builder_makes(builder):
    for row in ROWS[1:]:
        few, zero = builder.build(row["question"], ROWS[:1]), builder.build(row["question"])
        check_same_query(builder, few, zero, row["question"], "example")


def test_same_query_refuses_another_question(builder, tokenizer):
    few, zero = builder.build("Ann has 4 coins. How many?", ROWS[:1]), builder.build("Ann has 3 coins. How many?")
    with pytest.raises(JobError, match="training example 7: the prompts of teacher and student differ"):
        check_same_query(builder, few, zero, "Ann has 3 coins. How many?", "training example 7")
    other = PromptBuilder(tokenizer).build("Ann has 3 coins. How many?", ROWS[:1])
    with pytest.raises(JobError, match="differ"):
        check_same_query(builder, other, zero, "Ann has 3 coins. How many?", "example")
