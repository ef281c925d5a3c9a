"""Templates, special tokens and texts that nobody would write: prompts are built or refused in one sentence, soon."""

import datetime

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from fewshot_distillation.config.wording import Wording
from fewshot_distillation.data.limits import Limits
from fewshot_distillation.data.prompts import PromptBuilder, check_same_query
from fewshot_distillation.errors import JobError
from tiny import CHAT_TEMPLATE, make_tokenizer

MARKS = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|end|>",
    "<|user|>",
    "<eot>",
    "</s>",
    "[INST]",
    "[/INST]",
    "###",
]
WORDS = st.sampled_from(
    ["Ann", "has", "3", "#### 3", "\n", " ", "\r\n", "{{ x }}", "{question}", "é", "\u2028", "<|", "#"]
)
TEXTS = st.one_of(
    st.lists(WORDS, min_size=1, max_size=12).map("".join),
    st.text(min_size=1, max_size=40),
    st.lists(st.one_of(WORDS, st.sampled_from(MARKS)), max_size=6).map("".join),
)
# What a template may say, whole or broken, besides the messages.
SAID = st.one_of(
    st.sampled_from(MARKS),
    st.sampled_from(
        ["\n", " ", "\n\n", "", "user", "assistant\n", "<think>\n\n</think>\n\n", "Answer:", "<", "</turn>"]
    ),
    st.sampled_from(["{{ eos_token }}", "{{ bos_token }}", "{{ strftime_now('%d %b %Y') }}", "{{ date_string }}"]),
    st.sampled_from(
        ["{{ m.role }}", "{{ m.content }}", "{{ m.content | trim }}", "{{ m['content'] | upper }}", "{{ loop.index }}"]
    ),
    st.sampled_from(
        ["{%", "{{ none + 1 }}", "{{ raise_exception('no') }}", "{{ 1 // 0 }}", "{% set m = 1 %}", "{{ m.x.y }}"]
    ),
)
TURN = st.lists(SAID, max_size=5).map("".join)


@st.composite
def templates(draw) -> str:
    """Mostly templates that go through the messages; some that only look like it."""
    before, behind, asking, other = (draw(TURN) for _ in range(4))
    content = draw(st.sampled_from(["{{ m.content }}", "{{ m.content | trim }}", "{{ m.content + eos_token }}", ""]))
    loop = draw(st.sampled_from(["messages", "messages", "messages", "messages[-1:]", "messages | reverse"]))
    generation = f"{{% if add_generation_prompt %}}{asking}{{% else %}}{other}{{% endif %}}"
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.text(max_size=60))
    turn = f"{{% if m.role == 'user' %}}{before}{content}{behind}{{% else %}}{content}{draw(TURN)}{{% endif %}}"
    body = turn if kind < 4 else f"{before}{content}{behind}"
    head, generation = draw(TURN) if kind == 9 else "", asking if kind == 8 else generation
    return f"{head}{{% for m in {loop} %}}{body}{{% endfor %}}{generation}"


@st.composite
def tokenizers(draw):
    """The tiny tokenizer with another template, other special tokens, and ends that may be none of its tokens."""
    tokenizer = make_tokenizer()
    for name in draw(st.lists(st.one_of(st.sampled_from(MARKS), st.text(min_size=1, max_size=6)), max_size=4)):
        flags = {flag: draw(st.booleans()) for flag in ("lstrip", "rstrip", "normalized", "single_word")}
        token = AddedToken(name, **flags)
        if draw(st.booleans()):
            tokenizer.add_special_tokens({"additional_special_tokens": [token]})
        else:
            tokenizer.add_tokens([token])
    tokenizer.eos_token = draw(st.sampled_from(["<|im_end|>", "<|endoftext|>", "</s>", None]))
    tokenizer.chat_template = draw(st.one_of(templates(), st.just(CHAT_TEMPLATE), st.none()))
    return tokenizer


@st.composite
def wordings(draw) -> Wording:
    before, behind = (
        draw(st.sampled_from(["", "Question: ", "{", "<|end|>"])),
        draw(st.sampled_from(["", "\n", "?\n\nA:"])),
    )
    system = draw(st.sampled_from([None, None, "Be brief.", "<|im_end|>"]))
    day = draw(st.dates(datetime.date(1000, 1, 1)))
    return Wording(question=f"{before}{{question}}{behind}", system=system, template_date=day)


ROW = st.fixed_dictionaries({"question": TEXTS, "answer": TEXTS})
QUIET = {"deadline": 5000, "derandomize": True, "suppress_health_check": list(HealthCheck)}


def built(tokenizer, wording: Wording, question: str, rows: list[dict], answer: str) -> None:
    """What holds for every prompt that is built.

    Raises:
        JobError: it isn't.
    """
    builder = PromptBuilder(tokenizer, {}, wording, limits=Limits(len(tokenizer), 4096))
    few, zero = builder.build(question, rows), builder.build(question)
    for prompt in (few, zero):
        assert 0 <= prompt.question_end < prompt.prompt_end == len(prompt.ids) - 1
        assert max(prompt.ids) < len(tokenizer)
    behind = [prompt.ids[prompt.question_end + 1 :] for prompt in (few, zero)]
    assert behind[0] == behind[1], "teacher and student are compared behind the same tokens"
    check_same_query(builder, few, zero, question, "example")
    ids = builder.answer_ids(answer)
    assert ids[-1] == builder.end_of_turn and builder.end_of_turn in builder.stop_ids
    assert not set(ids[:-1]) & set(builder.stop_ids), "an answer ends where it ends, and not before"
    assert builder.build(question, rows) == few


@settings(max_examples=400, **QUIET)
@given(tokenizers(), wordings(), TEXTS, st.lists(ROW, max_size=2), TEXTS)
@example(make_tokenizer(), Wording(), "How many?", [{"question": "One?", "answer": "#### 1"}], "#### 3")
def test_prompts_are_built_or_refused_in_one_sentence(tokenizer, wording, question, rows, answer):
    note(tokenizer.chat_template)
    try:
        built(
            tokenizer,
            wording,
            question.strip(),
            [{k: v.strip() for k, v in row.items()} for row in rows],
            answer.strip(),
        )
    except JobError as error:
        sentence = str(error)
        assert sentence and "\n" not in sentence and "Traceback" not in sentence and len(sentence) < 700
