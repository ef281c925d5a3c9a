"""Prompts: the same tokens for teacher, student and evaluation, and positions that mean what they say."""

import pytest

from fewshot_distillation.data.prompts import PromptBuilder, check_same_query
from fewshot_distillation.data.sequences import Sequence
from fewshot_distillation.data.word_problems import word_problems
from fewshot_distillation.errors import JobError
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
    sequence = Sequence(prompt, [1, 2, 3])
    assert list(sequence.span("question_end")) == [end] and list(sequence.span("prompt_end")) == [prompt.prompt_end]
    # Each answer token is predicted one place before it stands.
    assert [sequence.ids[place + 1] for place in sequence.span("answer")] == [1, 2, 3]


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
    with pytest.raises(JobError, match=f"chat_template.{name}: the model's chat template has no argument '{name}'"):
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


@pytest.mark.parametrize("chat", [True, False])
def test_texts_tokenised_ahead_are_those_built_one_by_one(chat: bool, monkeypatch):
    """A call for each batch, in the place of one for each text."""
    asked = [(row["question"], ROWS[n + 1 : n + 1 + n % 3]) for n, row in enumerate(ROWS[:6])]
    expected = [PromptBuilder(make_tokenizer(chat)).build(*one) for one in asked]
    builder, calls = PromptBuilder(make_tokenizer(chat)), []
    plain = type(builder.tokenizer).__call__
    monkeypatch.setattr(type(builder.tokenizer), "__call__", lambda *a, **k: calls.append(1) or plain(*a, **k))
    monkeypatch.setattr("fewshot_distillation.data.prompts.AHEAD", 4)
    ahead = builder.ahead(asked, lambda one: [one], lambda one: [f"{len(one[0])} coins."])
    built = [(builder.build(*one), builder.answer_ids(f"{len(one[0])} coins.")) for one in ahead]
    assert len(calls) == 4 + chat  # for prompts and answers of both batches, and once for the end of a turn in a chat
    single = PromptBuilder(make_tokenizer(chat))
    assert built == [(single.build(*one), single.answer_ids(f"{len(one[0])} coins.")) for one in asked]
    assert [prompt for prompt, _ in built] == expected
