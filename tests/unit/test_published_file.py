"""published.yaml: its arithmetic, its names, and the errors of a file that somebody else wrote."""

import copy
from pathlib import Path

import pytest
import yaml

from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.catalogue import BASE
from fewshot_distillation.config.load import load
from fewshot_distillation.config.published import Published, load_published

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published(ROOT / "published.yaml")


def count_of(table, row) -> int:
    """The number of right answers that a printed accuracy stands for."""
    return round(row.percent[0] * table.n / 100)


def single(published: Published) -> list:
    return [(name, table, row) for name, table, row in published.rows() if row.step[0] == row.step[1]]


def test_every_table_is_whole(published: Published):
    """Three models with 0 and 8 shots; five rows; four λ; 7 and 5 steps of two conditions; 10 and 9 steps of two. Then
    four shots; five steps of each later run with two rows of each untrained model; five numbers of steps twice."""
    assert {name: len(table.rows) for name, table in published.tables.items()} == {
        "phase0": 6, "main_comparison": 5, "lambda_sweep": 4,
        "early_1.7b": 14, "full_1.7b": 10, "early_8b": 20, "full_8b": 18, "phase0_4shot": 3,
        "later_1.7b": 22, "later_1.7b_again": 5, "later_8b": 17, "later_llama": 12, "later_gemma": 17,
        "first_steps": 5, "last_steps": 5,
    }  # fmt: skip
    assert {table.n for table in published.tables.values()} == {16, 1319}


def test_names_are_those_of_the_default_configuration(published: Published):
    config = load(yaml.safe_load((ROOT / "workflow_config.yaml").read_text()))
    assert published.dataset == config.dataset
    for _, _, row in published.rows():
        assert row.model in config.models and row.condition in {BASE, *config.conditions}
        if row.condition == BASE:
            assert row.phase is None or row.shots in config.icl_gap[row.phase].shots
        else:
            schedule, _, recipe = row.schedule.partition("@")
            assert recipe in {"", *config.training}
            steps = config.schedules[schedule].checkpoints
            assert row.step[0] in steps and row.step[1] in steps


def test_accuracies_are_shares_of_the_questions(published: Published):
    """To the printed decimals; one of them is cut off instead of rounded."""
    wrong = []
    for name, table, row in single(published):
        share = 100 * count_of(table, row) / table.n
        if abs(share - row.percent[0]) > 0.5001 * 10**-table.decimals:
            wrong.append((name, row.condition, row.step[0], row.percent[0], round(share, 2)))
        if row.correct is not None:
            assert row.correct == count_of(table, row)
    assert wrong == [("early_8b", "sft", 50, 83.01, 83.02)]
    assert sum(row.correct is not None for _, _, row in published.rows()) == 5


def test_differences_are_those_of_the_accuracies(published: Published):
    """Of the counts behind them, so that two rounded accuracies don't matter; step 30 is rounded the other way."""
    checked, wrong = 0, []
    for name, table, row in single(published):
        if row.difference is None:
            continue
        other = count_of(table, published.counterpart(name, row))
        checked += 1
        difference = 100 * (count_of(table, row) - other) / table.n
        if abs(difference - row.difference) > 0.5001 * 10**-table.decimals:
            wrong.append((name, row.step[0], row.difference, round(difference, 2)))
    assert wrong == [("early_8b", 30, -0.46, -0.45)]
    assert checked == sum(row.difference is not None for _, _, row in published.rows()) == 41


def test_a_range_stays_a_range(published: Published):
    ranges = [row for _, _, row in published.rows() if row.step[0] != row.step[1]]
    assert [(r.condition, r.step, r.percent) for r in ranges] == [
        ("sft", (40, 70), (57, 62)), ("layerwise", (40, 70), (57, 60)),
    ]  # fmt: skip


def test_whose_study_it_is_stands_where_readers_look(published: Published):
    source = published.source
    assert source.author == "Amal Joe (IIT Bombay)" and set(source.commits) == {"05420a5", "c3aaf2d"}
    for name in ("README.md", "CITATION.cff", "docs/reproduction.md"):
        text = (ROOT / name).read_text()
        assert all(commit in text for commit in source.commits), name
        assert source.repository in text and "Joe" in text and "IIT Bombay" in text, name
        assert "Figures and definitions were taken from it, no code" in " ".join(text.split()), name


def test_cautions(published: Published):
    """Cells that stand in two places with different meanings, and headlines that take the best test checkpoint."""
    marked = {(name, row.percent[0]) for name, _, row in published.rows() if row.caution}
    assert marked == {("later_8b", percent) for percent in (80.14, 82.03, 81.58)}
    first = {row.percent[0] for row in published.tables["full_8b"].rows}
    assert {percent for _, percent in marked} < first
    best = [name for name, table in published.tables.items() if "best checkpoint on the test" in (table.caution or "")]
    assert best == ["later_1.7b", "later_8b", "later_llama", "later_gemma"]
    assert set(published.left_out) == {"MATH", "CommonsenseQA", "IFEval"}


GOOD = {
    "dataset": "problems",
    "tables": {
        "main": {
            "title": "Main", "n": 10, "against": {"condition": "sft"},
            "rows": [
                {"model": "tiny", "condition": "base", "shots": 4, "percent": 30},
                {"model": "tiny", "condition": "sft", "lambda": 0, "schedule": "short", "step": 4, "percent": 40},
            ],
        }
    },
}  # fmt: skip
PLACE = "tables.main.rows.1"
ERRORS = {
    "unknown key": ({"percents": 3}, f"{PLACE}: unknown key 'percents'; did you mean 'percent'?"),
    "share above one hundred": ({"percent": 140}, f"{PLACE}.percent.0: input should be less than or equal to 100"),
    "word": ({"percent": "most"}, f"{PLACE}.percent.0"),
    "malformed name": ({"model": "a b"}, f"{PLACE}.model: string should match pattern"),
    "no lambda": ({"lambda": None}, f"{PLACE}: a row of a trained model needs lambda"),
    "no step": ({"step": 0}, f"{PLACE}: a row of a trained model needs step"),
    "phase": ({"phase": "phase0"}, f"{PLACE}: phase belongs to rows of the base model"),
    "a base model with a schedule": ({"condition": "base"}, f"{PLACE}: a row of the base model has no lambda"),
    "range the wrong way": ({"percent": [60, 50]}, f"{PLACE}: a range begins with its lower end"),
    "count of a range": ({"step": [2, 4], "correct": 4}, f"{PLACE}: a range of steps has neither correct nor"),
    "three steps": ({"step": [1, 2, 3]}, f"{PLACE}.step"),
    "another count": ({"correct": 5}, "tables.main: row 1: 5 of 10 is not 40.0 %"),
    "too many right": ({"correct": 11}, "tables.main: row 1 has 11 right answers to 10 questions"),
}


def error_of(path: Path, content: str) -> str:
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        load_published(path)
    return str(error.value)


@pytest.mark.parametrize(("changes", "sentence"), ERRORS.values(), ids=ERRORS)
def test_a_malformed_row(tmp_path: Path, changes: dict, sentence: str):
    content = copy.deepcopy(GOOD)
    content["tables"]["main"]["rows"][1] |= changes
    path = tmp_path / "published.yaml"
    error = error_of(path, yaml.safe_dump(content))
    assert error.startswith(f"published: {path} is wrong:\n") and sentence in error


def test_a_malformed_file(tmp_path: Path):
    path = tmp_path / "published.yaml"
    assert "is not YAML: " in error_of(path, "tables: [")
    assert "is wrong" in error_of(path, "- a list")
    twice = copy.deepcopy(GOOD)
    twice["tables"]["main"]["rows"] *= 2
    assert "row 2 repeats the result of another row" in error_of(path, yaml.safe_dump(twice))
    alone = copy.deepcopy(GOOD)
    del alone["tables"]["main"]["against"]
    alone["tables"]["main"]["rows"][1]["difference"] = 3
    assert "row 1 has a difference, but its table has no `against`" in error_of(path, yaml.safe_dump(alone))
    path.write_text(yaml.safe_dump(GOOD))
    assert load_published(path).tables["main"].rows[1].percent == (40, 40)
    with pytest.raises(ConfigError, match="can't be read"):
        load_published(tmp_path / "nowhere.yaml")
