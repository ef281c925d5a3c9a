"""Whatever rows and answers contain, only errors of one sentence come out, in bounded time."""

import json
import tempfile
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewshot_distillation.config.sources import FilesDataset
from fewshot_distillation.config.specs import DatasetSpec
from fewshot_distillation.data.datasets import fetch_dataset
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.errors import JobError
from fewshot_distillation.tasks import TASKS, task_of
from fewshot_distillation.tasks.references import canonical, number_after_mark
from fewshot_distillation.tasks.rules.number_grammar import value_of

# Generous, so that a busy machine doesn't fail the test; what would hang takes far longer.
EACH = settings(deadline=timedelta(seconds=5), max_examples=60, suppress_health_check=[HealthCheck.too_slow])

PIECES = [
    "####", "#### ", "1", "23", ",", ".", " ", "\n", "-", "−", "$", "=", "+", "x", "(", ")", "{", "}", "\\",
    "\\boxed{", "/", "^", "\\frac", "\\text{", "<think>", "</think>", "<<", ">>", "The answer is ", "Question: ",
    "\nQ: ", "½", "⁶", "١", "\u00a0", "e9", "× 10^6", " million", "Answer: ", "(B)", "B", "</s>", "'", "_", "**",
    "0", "°", "%", "how many?", "–", "，", "→", "~", "\\sqrt{", " and ", " is ", "x",
]  # fmt: skip
ANSWERS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.text(max_size=80))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ANSWERS
VALUES = st.recursive(SCALARS, lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=5), part))
COLUMNS = ("question", "answer", "choices", "explanation", "reference")
ROWS = VALUES | st.dictionaries(st.sampled_from(COLUMNS) | st.text(max_size=5), VALUES)


# A row of each task that has one here, and what its reference is.
GOOD = {
    "gsm8k": ({"question": "How many?", "answer": "#### 2"}, "2"),
    "multiple_choice": ({"question": "Which?", "choices": ["1", "2"], "answer": "B"}, "B"),
}


@pytest.mark.parametrize("name", GOOD)
@EACH
@given(text=ANSWERS)
def test_every_scorer_reads_every_text(name: str, text: str):
    task = task_of(name)
    row = task.example(GOOD[name][0])
    assert row["reference"] == GOOD[name][1]
    for scorer in task.scorers.values():
        rule = scorer.rule()
        found = rule.read(text)
        assert found is None or isinstance(found, str)
        if found is not None:
            right = rule.equal(found, row) if rule.equal else task.equal(found, row["reference"])
            assert right in (True, False)


@pytest.mark.parametrize("name", TASKS)
@EACH
@given(row=ROWS)
def test_a_row_is_written_or_refused_in_one_sentence(name: str, row):
    task = task_of(name)
    try:
        found = task.example(row)
    except ValueError as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 500
        str(error).encode()
        return
    assert set(found) == {"question", "answer", "reference"}
    assert all(text == text.strip() and text and text.encode() for text in found.values())


REFERENCES = st.tuples(
    st.sampled_from(["", "-", "−", "+", "- "]),
    st.sampled_from(["", "$", "€ "]),
    st.text("0123456789", min_size=1, max_size=4),
    st.lists(
        st.tuples(st.sampled_from([",", ".", " ", "'", "\u202f", "/", " / "]), st.text("0123456789", max_size=4)),
        max_size=3,
    ),
    st.sampled_from(["", ".", "e3", " €", "E-2", "½", " ¾"]),
).map(lambda parts: "#### " + "".join(parts[:3]) + "".join(map("".join, parts[3])) + parts[4])


@settings(EACH, max_examples=300)
@given(answer=REFERENCES)
def test_a_reference_is_read_as_the_flexible_scorer_reads_it(answer: str):
    """The reader of references is narrower than that of answers, and never says otherwise."""
    try:
        number = number_after_mark(answer)
    except ValueError:
        return
    assert Fraction(canonical(number)) == number
    given_text = answer.strip().rpartition("####")[2]
    assert task_of("gsm8k").scorers["flexible"].rule().read("####" + given_text) == canonical(number)


@EACH
@given(number=st.fractions())
def test_the_canonical_form_is_the_same_for_equal_numbers_alone(number: Fraction):
    text = canonical(number)
    assert Fraction(text) == number
    assert canonical(Fraction(text)) == text and not text.endswith(".")


@EACH
@given(whole=st.integers(1, 10**12), decimals=st.integers(0, 99))
def test_separators_of_all_kinds_give_the_same_number(whole: int, decimals: int):
    value = whole + Fraction(decimals, 100)
    english = f"{whole:,}.{decimals:02}"
    others = [
        english.translate(str.maketrans(",.", ".,")),
        english.replace(",", " "),
        english.replace(",", "\u202f").replace(".", ","),
        english.replace(",", "'"),
        english.replace(",", ""),
    ]
    assert {value_of(text) for text in (english, *others)} == {value}


LINES = st.one_of(
    ROWS.map(json.dumps).map(str.encode),
    st.binary(max_size=60),
    st.tuples(ANSWERS, ANSWERS).map(
        lambda pair: json.dumps({"question": pair[0], "answer": pair[1] + "\n#### 2"}).encode()
    ),
)


@pytest.mark.parametrize("task", GOOD)
@pytest.mark.parametrize("on_bad_rows", ["refuse", "skip"])
@EACH
@given(lines=st.lists(LINES, max_size=6), mark=st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_a_file_is_fetched_or_refused_in_one_sentence(task: str, on_bad_rows: str, lines: list[bytes], mark: bytes):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.jsonl").write_bytes(mark + b"\n".join(lines))
        (folder / "b.jsonl").write_text(json.dumps(GOOD[task][0]))
        files = {"train": str(folder / "a.jsonl"), "test": str(folder / "b.jsonl")}
        spec = DatasetSpec(name="mine", task=task, source=FilesDataset(files=files), on_bad_rows=on_bad_rows)
        try:
            fetch_dataset(spec, folder / "train.jsonl", folder / "test.jsonl", folder / "meta.json")
        except JobError as error:
            assert "\n" not in str(error) and len(str(error)) < 800
            return
        assert read_jsonl(folder / "train.jsonl") and len(read_jsonl(folder / "test.jsonl")) == 1
