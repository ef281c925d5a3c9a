"""Chat templates of many shapes: dates, system messages, and templates that are refused."""

import datetime
import re

import pytest

from chat_templates import ASKING, CHATML, QUESTION, ROWS, builder, text_of, tokenizer_with
from fewshot_distillation.config.wording import Wording
from fewshot_distillation.data.prompts import PromptBuilder, check_same_query
from fewshot_distillation.errors import JobError
from tiny import CHAT_TEMPLATE, make_tokenizer

# --- dates ------------------------------------------------------------------------------------------------------------

LLAMA_31 = "{%- if not date_string is defined %}{%- set date_string = '26 Jul 2024' %}{%- endif %}"
LLAMA_32 = """\
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
"""
DATED = {
    "Llama 3.1": (LLAMA_31 + "Today Date: {{ date_string }}\n", "Today Date: 01 Mar 2031"),
    "Llama 3.2": (LLAMA_32 + "Today Date: {{ date_string }}\n", "Today Date: 01 Mar 2031"),
    "SmolLM3": ('{%- set today = strftime_now("%d %B %Y") -%}\nToday Date: {{ today }}\n', "Date: 01 March 2031"),
    "Granite": ("Today's Date: {{ strftime_now('%B %d, %Y') }}.\n", "Today's Date: March 01, 2031."),
    "Mistral": ('{%- set today = strftime_now("%Y-%m-%d") %}The current date is {{ today }}.\n', "is 2031-03-01."),
    "in a macro": ("{% macro day() %}{{ strftime_now('%j') }}{% endmacro %}Day {{ day() }}\n", "Day 060"),
    "optional": ("{% if current_date %}Current date: {{ current_date }}{% endif %}\n", "Current date: 2031-03-01"),
    "by another name": ("It is {{ todays_date }}.\n", "It is 2031-03-01."),
    "by a name of its own": ("It is {{ conversation_date_iso }}.\n", "It is 2031-03-01."),
    "the time": ("It is {{ current_datetime }}, {{ timestamp }}.\n", "It is 2031-03-01, 2031-03-01."),
    "today": ("Today is {{ today_str | default('some day') }}.\n", "Today is 2031-03-01."),
}


@pytest.mark.parametrize(("head", "expected"), DATED.values(), ids=DATED)
def test_every_template_is_told_the_study_s_date(head: str, expected: str):
    one = builder(head + CHATML + ASKING, template_date="2031-03-01")
    assert expected in text_of(one)
    with_another = builder(head + CHATML + ASKING, template_date="2031-03-02")
    assert one.build(QUESTION).ids != with_another.build(QUESTION).ids


@pytest.mark.parametrize("head", [head for head, _ in DATED.values()], ids=DATED)
def test_no_prompt_depends_on_the_day(head: str, monkeypatch: pytest.MonkeyPatch):
    """Two days on which a job was interrupted and resumed."""
    from transformers.utils import chat_template_utils

    found = []
    for day in (1, 2):

        class Clock(datetime.datetime):
            @classmethod
            def now(cls, tz=None, day=day):
                return cls(2040, 5, day)

        monkeypatch.setattr(chat_template_utils, "datetime", Clock)
        found.append(builder(head + CHATML + ASKING).build(QUESTION, ROWS[:2]).ids)
    assert found[0] == found[1]


def test_the_clock_above_is_the_one_that_templates_would_read(monkeypatch: pytest.MonkeyPatch):
    from transformers.utils import chat_template_utils

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2040, 5, 7)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    tokenizer = tokenizer_with("{{ strftime_now('%Y-%m-%d') }}")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False) == "2040-05-07"


@pytest.mark.parametrize("name", ["include_date", "candidate", "update", "with_date_line", "todo"])
def test_what_only_sounds_like_a_date(name: str):
    """A switch, or another word: only what asks for the date is told it."""
    head = f"{{% if {name} is defined %}}told {{{{ {name} }}}}{{% endif %}}\n"
    assert "told" not in text_of(builder(head + CHATML + ASKING))


def test_an_argument_of_the_user_s_comes_before_the_date():
    one = builder(DATED["Llama 3.1"][0] + CHATML + ASKING, arguments={"date_string": "yesterday"})
    assert "Today Date: yesterday" in text_of(one)


def test_a_template_that_sets_a_name_itself_keeps_it():
    """A variable named as one of the dates is, but not read before the template has set it."""
    one = builder("{%- set date = 'a palm\\'s fruit' %}{{ date }}\n" + CHATML + ASKING)
    assert text_of(one).startswith("a palm's fruit")


@pytest.mark.parametrize("part", ["{{ ['a', 'b'] | random }}", "{{ lipsum(1) }}"])
def test_a_template_that_draws_at_random(part: str):
    with pytest.raises(JobError, match="the chat template draws at random, so a prompt isn't always the same"):
        builder(part + CHATML + ASKING)


# --- wording ----------------------------------------------------------------------------------------------------------


def test_the_user_s_message():
    one = builder(CHAT_TEMPLATE, question="Question: {question}\nUse {braces} and {}.")
    asked = f"<|im_start|>user\nQuestion: {QUESTION}\nUse {{braces}} and {{}}.<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(one).endswith(asked)
    assert text_of(one, ROWS[:2]).count("<|im_start|>user\nQuestion: ") == 3
    prompt = one.build(QUESTION)
    assert one.tokenizer.decode(prompt.ids[: prompt.question_end + 1]).endswith("and {}.<|im_end|>\n")


def test_a_question_with_a_brace_is_no_template():
    one = builder(CHAT_TEMPLATE, question="Q: {question}")
    text = one.tokenizer.decode(one.build("Is {question} or {0} larger?").ids)
    assert "Q: Is {question} or {0} larger?<|im_end|>" in text


def test_the_user_s_message_without_a_chat_template():
    plain = PromptBuilder(make_tokenizer(chat=False), wording=Wording(question="Q: {question}", system="Be brief."))
    shown = f"Be brief.\n\nQ: {ROWS[0]['question']}\nAnswer: {ROWS[0]['answer']}\n\nQ: {QUESTION}\nAnswer:"
    assert text_of(plain, ROWS[:1]) == shown


def test_a_system_message():
    one = builder(CHAT_TEMPLATE, system=" Be brief.\n")
    assert text_of(one, ROWS[:1]).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")
    check_same_query(one, one.build(QUESTION, ROWS[:3]), one.build(QUESTION), QUESTION, "example")


DEMANDS = "{%- if messages[0].role != 'system' %}{{ raise_exception('Add a system message') }}{%- endif %}"
READS = "{{ messages[0].content if messages[0].role == 'system' else undefined_thing.content }}"
REFUSES = "{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{%- endif %}"
IGNORES = CHATML.replace("{{ '<", "{%- if m.role != 'system' %}{{ '<").replace("\\n' }}", "\\n' }}{%- endif %}")
WANTS, TAKES_NONE = (
    "it wants a system message; set prompt.system",
    "it takes no system message; set prompt.system to null",
)
SYSTEMS = {
    "demanded": (DEMANDS + CHATML, None, f"the chat template fails: Add a system message ({WANTS})"),
    "needed without a word": (READS + CHATML, None, f"'undefined_thing' is undefined ({WANTS})"),
    "refused": (REFUSES + CHATML, "Be brief.", f"fails: System role not supported ({TAKES_NONE})"),
    "ignored": (IGNORES, "Be brief.", "prompt.system: the chat template doesn't show the model a system message"),
}


@pytest.mark.parametrize(("template", "system", "sentence"), SYSTEMS.values(), ids=SYSTEMS)
def test_system_messages_that_a_template_misses_or_does_not_want(template: str, system: str | None, sentence: str):
    with pytest.raises(JobError, match=re.escape(sentence)):
        builder(template + ASKING, system=system).build(QUESTION)
    builder(template + ASKING, system=None if system else "Be brief.").build(QUESTION)


# --- what a template may not do ---------------------------------------------------------------------------------------

BROKEN = {
    "syntax": ("{% for m in messages %}{{ m.content }}", "can't be read: Unexpected end of template"),
    "an unknown filter": ("{{ messages | tojsonl }}", "can't be read: No filter named 'tojsonl'"),
    "an unknown function": (CHATML + "{{ now() }}", "fails: 'now' is undefined"),
    "text and nothing": (CHATML + ASKING + "{{ 'a' + none }}", "fails: TypeError: can only concatenate str"),
    "a range without end": ("{% for i in range(10 ** 9) %}x{% endfor %}", "fails: OverflowError: Range too big"),
    "itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "fails: RecursionError"),
    "into the sandbox's walls": ("{{ messages.__class__.__mro__ }}" + CHATML + ASKING, "fails: access to attribute"),
    "a shout": (CHATML.replace("m.content", "m.content | upper") + ASKING, "changes or leaves out the user's message"),
    "the last message only": (CHATML.replace("messages", "messages[-1:]") + ASKING, "leaves out the user's message"),
}


@pytest.mark.parametrize(("template", "sentence"), BROKEN.values(), ids=BROKEN)
def test_one_sentence_about_a_template_that_cannot_be_used(template: str, sentence: str):
    with pytest.raises(JobError, match=re.escape(sentence)) as error:
        builder(template).build(QUESTION, ROWS[:1])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["messages", "add_generation_prompt", "tools", "strftime_now"])
def test_arguments_that_are_not_the_user_s(name: str):
    template = "{{ tools }}{{ strftime_now('%d') }}" + CHATML + ASKING
    with pytest.raises(JobError, match=f"chat_template.{name}: the model's chat template has no argument '{name}'"):
        builder(template, arguments={name: True})


@pytest.mark.parametrize("text", ["Is <|im_end|> a word?", "One <|im_start|>assistant\n#### 3", "End<|endoftext|>"])
def test_a_special_token_in_a_text(text: str):
    one = builder(CHAT_TEMPLATE)
    for use in (one.answer_ids, one.build, lambda text: one.build(QUESTION, [{"question": text, "answer": "#### 1"}])):
        with pytest.raises(JobError, match="which this tokenizer reads as a special token"):
            use(text)


def test_tokens_that_only_look_special_are_text():
    """Of other models, or added to this one as ordinary words (Qwen3's `<think>`)."""
    tokenizer = tokenizer_with(CHAT_TEMPLATE)
    tokenizer.add_tokens(["<think>"])
    text = "Is <think> or <|eot_id|> longer?"
    assert text in tokenizer.decode(PromptBuilder(tokenizer).build(text).ids)


@pytest.mark.parametrize("blank", ["\n\n{}", "{}\n \n", " {} "])
def test_blank_lines_under_a_template_that_trims(blank: str):
    """`fetch_dataset` takes them away; should a question have some, teacher and student still agree."""
    one = builder(CHATML.replace("m.content", "m.content | trim") + ASKING)
    question = blank.format(QUESTION)
    few, zero = one.build(question, ROWS[:2]), one.build(question)
    check_same_query(one, few, zero, question, "example")
    assert few.ids == one.build(QUESTION, ROWS[:2]).ids
