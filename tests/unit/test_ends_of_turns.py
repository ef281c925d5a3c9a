"""Where a question and an answer end, in chat templates of many shapes."""

import re

import pytest

from chat_templates import ASKING, CHATML, QUESTION, ROWS, builder, tokenizer_with
from fewshot_distillation.data.prompts import PromptBuilder, check_same_query
from fewshot_distillation.errors import JobError

# --- ends of questions ------------------------------------------------------------------------------------------------

PHI = """\
{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""
PHI_MARKS = ("<|user|>", "<|assistant|>", "<|end|>", "<|system|>")
PHI_4_MINI = """\
{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"""
CLOSED = (
    CHATML
    + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% else %}{{ '<|endoftext|>\\n' }}{% endif %}"
)
PARTING = {
    "Phi-3": (PHI, "<|end|>\n", "<|assistant|>\n", "<|end|>"),
    "Phi-4-mini": (PHI_4_MINI, "<|end|>", "<|assistant|>", "<|end|>"),
    "ChatML, closed": (CLOSED, "<|im_end|>\n", "<|im_start|>assistant\n", "<|im_end|>"),
}


@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize(("template", "before", "behind", "end"), PARTING.values(), ids=PARTING)
def test_templates_that_close_a_conversation_which_asks_for_nothing(template, before, behind, end, shots: int):
    one = builder(template, *PHI_MARKS, eos="<|endoftext|>")
    prompt, decode = one.build(QUESTION, ROWS[:shots]), one.tokenizer.decode
    assert decode(prompt.ids[prompt.question_end + 1 :]) == behind
    assert decode(prompt.ids[: prompt.question_end + 1]).endswith(f"{QUESTION}{before}")
    assert decode(one.answer_ids("#### 3")) == f"#### 3{end}" and "<|endoftext|>" not in decode(prompt.ids)
    assert decode(one.stop_ids) in (f"{end}<|endoftext|>", f"<|endoftext|>{end}")
    check_same_query(one, one.build(QUESTION, ROWS[:3]), one.build(QUESTION), QUESTION, "example")


def test_marks_that_swallow_the_spaces_behind_them():
    """As Phi-3's do: `<|end|>` and the newline behind it are one token."""
    from tokenizers import AddedToken

    tokenizer = tokenizer_with(PHI, eos="<|endoftext|>")
    marks = [AddedToken(mark, rstrip=True, normalized=False) for mark in PHI_MARKS]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    one = PromptBuilder(tokenizer)
    prompt, (end, assistant) = (
        one.build(QUESTION, ROWS[:1]),
        tokenizer.convert_tokens_to_ids(["<|end|>", "<|assistant|>"]),
    )
    assert prompt.ids[prompt.question_end] == end and prompt.ids[prompt.question_end + 1 :] == [assistant]
    assert one.answer_ids("#### 3")[-1] == end == one.end_of_turn


@pytest.mark.parametrize("closing", ["'\\n'", "'</chat'", "messages[0].content"])
def test_templates_that_part_without_a_mark(closing: str):
    """Where the question's turn ends and the generation prompt begins would be a guess."""
    template = CHATML + "{% if add_generation_prompt %}{{ '<assistant>\\n' }}{% else %}{{ " + closing + " }}{% endif %}"
    with pytest.raises(JobError, match="writes nothing after a question, so the question's end can't be found"):
        builder(template).build(QUESTION)


# --- ends of answers --------------------------------------------------------------------------------------------------


def turns_ending_in(mark: str) -> str:
    return CHATML.replace("<|im_end|>\\n", mark) + ASKING


NO_TOKENS = {
    "OpenChat's with another vocabulary": ("<|end_of_turn|>", "'<|end_of_turn|>'"),
    "Gemma's with another vocabulary": ("<end_of_turn>\\n", "'<end_of_turn>'"),
    "Alpaca's": ("\\n\\n### End", "'### End'"),
    "Llama 2's without its token": (" </s>", "'</s>'"),
}


@pytest.mark.parametrize(("mark", "shown"), NO_TOKENS.values(), ids=NO_TOKENS)
def test_a_mark_that_is_no_token(mark: str, shown: str):
    """Its first piece, `<` or `#`, would be trained as the end and stop every answer at its first such character."""
    with pytest.raises(
        JobError, match=re.escape(f"ends an answer with {shown}, which this tokenizer has no token for")
    ):
        builder(turns_ending_in(mark)).answer_ids("#### 3")


ENDINGS = {
    "a token": ("<|eot|>", "#### 3<|eot|>"),
    "a space before it, as Llama 2's": (" <|eot|>", "#### 3 <|eot|>"),
    "a token and more": ("<|eot|>\\n\\n", "#### 3<|eot|>"),
    "pieces, then a token": ("</turn><|im_end|>", "#### 3</turn><|im_end|>"),
    "nothing": ("\\n", "#### 3<|im_end|>"),
}


@pytest.mark.parametrize(("mark", "expected"), ENDINGS.values(), ids=ENDINGS)
def test_an_answer_ends_as_its_template_ends_it(mark: str, expected: str):
    one = builder(turns_ending_in(mark), "<|eot|>")
    ids = one.answer_ids("#### 3")
    assert one.tokenizer.decode(ids) == expected and ids[-1] == one.end_of_turn
    assert {one.end_of_turn, one.tokenizer.eos_token_id} == set(one.stop_ids)


def test_an_answer_s_tokens_are_those_of_a_demonstration():
    one = builder(turns_ending_in("</turn> <|im_end|>\\n"))
    row = ROWS[0]
    prompt, answer = one.build(row["question"]).ids, one.answer_ids(row["answer"])
    assert one.build("More?", [row]).ids[: len(prompt + answer)] == prompt + answer
