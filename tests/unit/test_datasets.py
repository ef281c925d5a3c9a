"""Rows are checked before any job uses them, and errors say where."""

import json
from pathlib import Path

import pytest

from fewshot_distillation.config.sources import FilesDataset
from fewshot_distillation.config.specs import DatasetSpec
from fewshot_distillation.data.datasets import check_disjoint, fetch_dataset, read_source_file, written_rows
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.data.word_problems import word_problems
from fewshot_distillation.errors import JobError
from fewshot_distillation.runtime.files import sha256
from fewshot_distillation.tasks import task_of
from tiny import write_dataset, write_rows

GOOD = {"question": "How many?", "answer": "Two.\n#### 2"}
OTHER = {"question": "And then?", "answer": "#### 3"}


def fetch_files(folder: Path, train: list, test: list, marks: str = "keep", **settings) -> dict:
    """Fetch rows from two files; meta.json."""
    paths = write_rows(folder / "a.jsonl", train), write_rows(folder / "b.jsonl", test)
    source = FilesDataset(files={"train": str(paths[0]), "test": str(paths[1])})
    spec = DatasetSpec(name="mine", source=source, calculation_annotations=marks, **settings)
    fetch_dataset(spec, folder / "train.jsonl", folder / "test.jsonl", folder / "meta.json")
    return json.loads((folder / "meta.json").read_text())


BAD_ROWS = {
    "no answer": ({"question": "How many?"}, "the row has no 'answer'; a row needs 'question' and 'answer'"),
    "null": ({"question": "How many?", "answer": None}, "the row has no 'answer'"),
    "empty answer": ({"question": "How many?", "answer": " "}, "the row has no 'answer', only spaces"),
    "no question": ({"answer": "#### 2"}, "the row has no 'question'"),
    "answer is a number": ({"question": "How many?", "answer": 2}, r"'answer' is a number \(2\), but must be text"),
    "answer is zero": ({"question": "How many?", "answer": 0}, r"'answer' is a number \(0\), but must be text"),
    "no final number": ({"question": "How many?", "answer": "Two."}, "doesn't end in '#### <number>'"),
    "a list": ([1, 2], "a row must be an object with 'question' and 'answer', not a list"),
}


@pytest.mark.parametrize(("row", "problem"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row, problem: str):
    with pytest.raises(JobError, match=problem) as error:
        fetch_files(tmp_path, [GOOD, row], [OTHER])
    assert str(error.value).startswith(f"{tmp_path / 'a.jsonl'} line 2: ")


def test_broken_json_is_named_by_file_and_line(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + '{"question": ')
    with pytest.raises(JobError, match=r"line 3: expected one JSON object a line \(Expecting value at column 14\)"):
        list(read_source_file(path))


def test_unreadable_files_are_errors(tmp_path: Path):
    (tmp_path / "latin.jsonl").write_bytes('{"question": "é"}'.encode("latin-1"))
    for name, problem in (
        ("latin", "expected UTF-8 text"),
        ("missing", r"can't be read \(No such file or directory\)"),
    ):
        with pytest.raises(JobError, match=f"{name}.jsonl: {problem}"):
            list(read_source_file(tmp_path / f"{name}.jsonl"))


def test_a_byte_order_mark_is_read(tmp_path: Path):
    """Some editors write one at the beginning of a file."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(GOOD) + "\n", encoding="utf-8-sig")
    assert [row for _, row in read_source_file(path)] == [GOOD]


BAD_LINES = {
    "half a surrogate pair": (
        '{"question": "How many \\ud83d?", "answer": "#### 2"}',
        r"'question' has half a surrogate pair \('\\ud83d'\) at character 10",
    ),
    "the other half": (
        '{"question": "Q?", "answer": "\\ude00\\n#### 2"}',
        r"'answer' has half a surrogate pair \('\\ude00'\) at character 1,",
    ),
    "key twice": (
        '{"question": "Q?", "answer": "#### 2", "answer": "#### 3"}',
        "the key 'answer' is in the row twice; keep one of them",
    ),
    "key twice, deeper": (
        '{"question": "Q?", "answer": "#### 2", "id": {"a": 1, "a": 2}}',
        "the key 'a' is in the row twice",
    ),
    "long number": ('{"question": "Q?", "answer": ' + "9" * 5000 + "}", "line 1: expected one JSON object a line"),
    "deep nesting": ("[" * 200_000, "line 1: expected one JSON object a line"),
}


@pytest.mark.parametrize(("line", "problem"), BAD_LINES.values(), ids=BAD_LINES)
def test_lines_that_json_alone_accepts(tmp_path: Path, line: str, problem: str):
    (tmp_path / "a.jsonl").write_text(line + "\n")
    write_rows(tmp_path / "b.jsonl", [OTHER])
    source = FilesDataset(files={"train": str(tmp_path / "a.jsonl"), "test": str(tmp_path / "b.jsonl")})
    spec = DatasetSpec(name="mine", source=source)
    with pytest.raises(JobError, match=problem) as error:
        fetch_dataset(spec, tmp_path / "train.jsonl", tmp_path / "test.jsonl", tmp_path / "meta.json")
    assert str(error.value).startswith(f"{tmp_path / 'a.jsonl'} line 1: ") and "\n" not in str(error.value)


def test_a_whole_surrogate_pair_is_read(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text('{"question": "How many \\ud83d\\ude00?", "answer": "#### 2"}\n')
    (found,) = written_rows(task_of("gsm8k"), read_source_file(tmp_path / "rows.jsonl"))[0]
    assert found["question"] == "How many 😀?"


def test_texts_are_tidied_once(tmp_path: Path):
    """Many templates strip messages; what is stripped already is the same under all of them."""
    row = {"question": "\n\n How many?\r\nSay it. \n\n", "answer": "\n 1 + 1 = 2\r\n#### 2\n\n"}
    fetch_files(tmp_path, [row], [OTHER])
    assert read_jsonl(tmp_path / "train.jsonl") == [
        {"question": "How many?\nSay it.", "answer": "1 + 1 = 2\n#### 2", "reference": "2"}
    ]


def test_bad_rows_are_skipped_and_counted_where_that_is_asked_for(tmp_path: Path):
    wrong = {"question": "Which?", "answer": "#### None"}
    test = [OTHER, *({"question": f"Number {n}?", "answer": "#### 2,5"} for n in range(7))]
    meta = fetch_files(tmp_path, [wrong, GOOD, wrong, GOOD], test, on_bad_rows="skip", limit_train=1)
    assert meta["rows"] == {"train": 1, "test": 1, "validation": 0}
    assert meta["skipped"]["train"] == {
        "rows": 2,
        "of": 4,
        "first": [
            f"{tmp_path / 'a.jsonl'} line {n}: the answer doesn't end in '#### <number>'; after the mark is 'None'"
            for n in (1, 3)
        ],
    }
    assert meta["skipped"]["test"]["rows"] == 7 and len(meta["skipped"]["test"]["first"]) == 5
    with pytest.raises(JobError, match="line 1: the answer doesn't end"):
        fetch_files(tmp_path, [wrong, GOOD], [OTHER])
    with pytest.raises(JobError, match="the train split is empty"):
        fetch_files(tmp_path, [wrong], [OTHER], on_bad_rows="skip")


def test_separators_inside_a_question_do_not_split_the_row(tmp_path: Path):
    """JSON may hold U+2028 and U+0085 as they are; only a newline ends a row of JSONL."""
    row = {"question": "How\u2028many\x85are there?", "answer": "#### 2"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [row for _, row in read_source_file(path)] == [row]
    fetch_files(tmp_path, [row], [OTHER])
    assert [row["question"] for row in read_jsonl(tmp_path / "train.jsonl")] == [row["question"]]


def test_empty_lines_are_skipped_and_other_columns_dropped(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text("\n" + json.dumps(GOOD | {"id": 3}) + "\n\n")
    assert [where[-6:] for where, _ in read_source_file(tmp_path / "rows.jsonl")] == ["line 2"]
    fetch_files(tmp_path, [GOOD | {"id": 3}], [OTHER])
    assert read_jsonl(tmp_path / "train.jsonl") == [GOOD | {"reference": "2"}]


@pytest.mark.parametrize("row", [GOOD, {"question": "How many?", "answer": "#### 2", "reference": 2}, [1]])
def test_a_file_that_fetching_did_not_write(tmp_path: Path, row):
    path = write_rows(tmp_path / "train.jsonl", [GOOD | {"reference": "2"}, row])
    with pytest.raises(JobError, match="train.jsonl row 2: expected question, answer, reference as `fetch_dataset`"):
        read_jsonl(path)
    path.write_text("{")
    with pytest.raises(JobError, match="train.jsonl: cannot be read as JSON lines"):
        read_jsonl(path)


def test_the_same_question_in_both_splits():
    """Case, spaces and punctuation don't make another question."""
    train = [{"question": "Other?", "answer": "#### 1"}, {"question": "How  many\nare there?", "answer": "#### 2"}]
    with pytest.raises(JobError, match="test row 1 asks the same question as train row 2: 'how many ARE there'"):
        check_disjoint(train, [{"question": "how many ARE there", "answer": "#### 2"}])


def test_the_same_question_twice_in_the_test_split():
    with pytest.raises(JobError, match="test rows 1 and 3 ask the same question"):
        check_disjoint([], [GOOD, {"question": "Other?", "answer": "#### 1"}, GOOD])


def test_a_question_may_stand_twice_in_the_training_split():
    check_disjoint([GOOD, GOOD], [{"question": "Other?", "answer": "#### 1"}])


def test_numbers_make_questions_different():
    check_disjoint([{"question": "2 + 2?", "answer": "#### 4"}], [{"question": "2 + 3?", "answer": "#### 5"}])


def test_an_empty_split(tmp_path: Path):
    with pytest.raises(JobError, match="dataset 'mine': the test split is empty"):
        fetch_files(tmp_path, [GOOD], [])


def test_limits_keep_the_first_rows(tmp_path: Path):
    test = [{"question": f"Number {n}?", "answer": f"#### {n}"} for n in range(4)]
    meta = fetch_files(tmp_path, [GOOD], test, limit_test=2)
    assert [row["question"] for row in read_jsonl(tmp_path / "test.jsonl")] == ["Number 0?", "Number 1?"]
    assert meta["rows"] == {"train": 1, "test": 2, "validation": 0}


@pytest.mark.parametrize("marks", ["keep", "strip"])
def test_calculator_marks(tmp_path: Path, marks: str):
    """In worked answers alone; a comparison in an answer is no mark."""
    row = {"question": "What is <<1+1=2>>?", "answer": "It is 1+1 = $<<1+1=2>>2, and 1 < 2 > 1.\n#### 2"}
    meta = fetch_files(tmp_path, [row], [GOOD], marks=marks)
    stripped = row | {"answer": "It is 1+1 = $2, and 1 < 2 > 1.\n#### 2"}
    found = read_jsonl(tmp_path / "train.jsonl")
    assert found == [(row if marks == "keep" else stripped) | {"reference": "2"}]
    assert read_jsonl(tmp_path / "test.jsonl") == [GOOD | {"reference": "2"}]
    assert meta["dataset"]["calculation_annotations"] == marks


def test_text_is_tidy_without_its_calculator_marks(tmp_path: Path):
    """A template that trims would show a demonstration otherwise than the answer that is learned."""
    row = {"question": "How many?", "answer": "<<1+1=2>>\nTwo eggs. <<2=2>>\n#### 2"}
    fetch_files(tmp_path, [row], [OTHER], marks="strip")
    assert read_jsonl(tmp_path / "train.jsonl")[0]["answer"] == "Two eggs. \n#### 2"


def test_generator(tmp_path: Path):
    train, test = write_dataset(tmp_path, train=7, test=3, seed=5)
    for split, path in (("train", train), ("test", test)):
        found = [{key: row[key] for key in ("question", "answer")} for row in read_jsonl(path)]
        assert found == word_problems(7, 3, 5)[split]
    meta = json.loads((tmp_path / "meta.json").read_text())
    paths = {"train": train, "test": test, "validation": train.with_name("validation.jsonl")}
    assert meta["sha256"] == {split: sha256(path) for split, path in paths.items()}
    assert meta["rows"] == {"train": 7, "test": 3, "validation": 0}
