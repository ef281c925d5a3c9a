"""Published accuracies beside the measured ones, from a small study that was written by hand."""

import json
from pathlib import Path

import pandas as pd
import pytest
from test_summary import write_study

from built_tables import GAP, spec
from fewshot_distillation.analysis.aggregate import aggregate
from fewshot_distillation.analysis.collect import read_published
from fewshot_distillation.analysis.narrative import write_analysis
from fewshot_distillation.analysis.protocols import DIFFERS, SAME, UNKNOWN
from fewshot_distillation.analysis.published import AGREES, OFF, other_differences, published_vs_measured
from fewshot_distillation.analysis.statistics import independent_difference
from fewshot_distillation.analysis.tables import TABLES
from fewshot_distillation.config.protocol import OwnProtocol, Protocol
from fewshot_distillation.config.published import load_published
from fewshot_distillation.config.specs import AnalysisSpec
from study_tables import LABELS, accuracy

RUN = {"model": "tiny", "schedule": "short"}
SFT, LAYERWISE = RUN | {"condition": "sft", "lambda": 0}, RUN | {"condition": "layerwise", "lambda": 0.5}
ROWS = [
    {"model": "tiny", "condition": "base", "phase": "phase0", "shots": 8, "percent": 60},
    {"model": "tiny", "condition": "base", "shots": 8, "percent": 50, "correct": 5},
    SFT | {"step": 6, "percent": 60},
    LAYERWISE | {"step": 6, "percent": 70, "difference": 10},
    LAYERWISE | {"step": [3, 6], "percent": [30, 60]},
    LAYERWISE | {"step": 9, "percent": 80},
    SFT | {"model": "huge", "step": 6, "percent": 90},
]
AGAIN = [SFT | {"step": 6, "percent": 50}, LAYERWISE | {"step": 6, "percent": 70, "difference": 21}]


# What the published study did, which is what the small one did too.
STATES = {"target": "hidden_states", "teacher": {"shots": 8}, "reduction": "mean"}
COURSE = {"learning_rate": 1e-4, "warmup_steps": 2, "lr_scheduler": "cosine", "max_steps": 6}
RECIPE = {"lora": {}, "weight_decay": 0.01, "max_grad_norm": 1.0, "effective_batch_size": 4, "max_tokens": 512}
PROTOCOL = {
    "models": {"tiny": "someone/tiny", "huge": "someone/huge"}, "precision": "fp32",
    "objective": {"sft": {}, "layerwise": STATES}, "schedule": COURSE, "recipe": RECIPE,
    "prompt": {"question": "Q: {question}"}, "demonstrations": "fixed",
    "thinking": {"tuned": {"enable_thinking": False}}, "max_new_tokens": 64, "scorer": "strict", "questions": "all",
    "seeds": "unseeded", "evaluation_set": {"dataset": "problems"}, "checkpoint": "named",
}  # fmt: skip


def own(**changes) -> OwnProtocol:
    """The protocol of the small study; `schedule__max_steps=7` is what its runs do otherwise."""
    objective = load(PROTOCOL).objective
    run = {"schedule": dict(COURSE), "recipe": dict(RECIPE)}
    for where, value in changes.items():
        part, _, key = where.partition("__")
        run[part][key] = value
    asked = {"models": ["tiny"], "questions": "all", "demonstrations": {0: "fixed", 8: "fixed"}}
    return OwnProtocol(
        objective=objective,
        models={
            "tiny": {"hub": None}
            | {"prompt": PROTOCOL["prompt"], "thinking": PROTOCOL["thinking"], "runs": {"short": run}}
        },
        precision="fp32",
        asked={"": asked, "phase0": asked}, max_new_tokens=64, scorers=["strict", "flexible"], metric="strict",
        seeds=[42], evaluation_set={"dataset": "problems"},
    )  # fmt: skip


def load(protocol: dict) -> Protocol:
    return Protocol.model_validate(protocol)


def compared(path: Path, rows: pd.DataFrame, ours: OwnProtocol | None = None) -> pd.DataFrame:
    protocols = {name: table.protocol for name, table in load_published(path).tables.items()}
    return published_vs_measured(read_published(path), rows, LABELS, protocols, ours or own(), 0.95)


def write_published(folder: Path, n: int = 10, dataset: str = "problems", protocol: dict | None = PROTOCOL) -> Path:
    against = {"condition": "sft"}
    rows = ROWS if n == 10 else [{key: v for key, v in row.items() if key != "correct"} for row in ROWS]
    common = {"n": n, "decimals": 0, "against": against, "protocol": protocol}
    tables = {
        "main": {"title": "Main", "rebuilt_by": "elsewhere", **common, "rows": rows},
        "curve": {"title": "Curve", **common, "rows": AGAIN},
    }
    path = folder / "published.yaml"
    path.write_text(json.dumps({"dataset": dataset, "tables": tables}))
    return path


def measured() -> pd.DataFrame:
    run = {"phase": "phase0", "model": "tiny", "condition": "base", "step": 0}
    gap = [run | row for row in GAP["models"]["tiny"]["accuracy"]]
    return pd.concat([accuracy(), pd.DataFrame(gap)], ignore_index=True)


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    return compared(write_published(tmp_path), measured())


def test_every_published_row_has_what_was_measured(table: pd.DataFrame):
    assert list(table["measured"].fillna(-1)) == [0.4, 0.4, 0.5, 0.9, 0.4, -1, -1, 0.5, 0.9]
    assert list(table["label"])[:3] == ["8-shot", "8-shot", "B · SFT"]
    missing = table[table["measured"].isna()]
    assert list(missing["model"]) == ["tiny", "huge"]
    assert list(missing["note"]) == ["not measured yet", "not part of this study"]
    assert missing[["seed", "n", "low", "difference", "difference_low"]].isna().all(axis=None)


def test_differences_have_an_interval(table: pd.DataFrame):
    row = table.iloc[3]
    assert row["difference"] == pytest.approx(0.2) and row["published_n"] == row["n"] == 10
    expected = independent_difference((9, 10), (7, 10), 0.95)
    assert (row["difference_low"], row["difference_high"]) == (expected["difference_low"], expected["difference_high"])
    assert row["difference_low"] < 0.2 < row["difference_high"] and row["note"] == ""


def test_newcombe_s_example():
    """Newcombe (1998), method 10, his first example: 56 of 70 against 48 of 80."""
    found = independent_difference((56, 70), (48, 80), 0.95)
    assert found["difference"] == pytest.approx(0.2)
    assert (found["difference_low"], found["difference_high"]) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_a_range_has_the_lowest_and_the_highest_of_its_checkpoints(table: pd.DataFrame):
    row = table.iloc[4]
    assert (row["step"], row["last_step"], row["published"], row["published_high"]) == (3, 6, 0.3, 0.6)
    assert (row["measured"], row["measured_high"]) == (0.4, 0.9) and pd.isna(row["difference"])
    assert row["note"] == "2 checkpoints measured in this range"


def test_every_seed_is_a_row(tmp_path: Path):
    both = pd.concat([measured(), measured().query("condition == 'sft'").assign(seed=43)], ignore_index=True)
    table = compared(write_published(tmp_path), both)
    assert list(table.loc[table["condition"].eq("sft") & table["table"].eq("main"), "seed"].dropna()) == [42, 43]


def test_other_questions_are_not_compared_in_silence(tmp_path: Path):
    more = compared(write_published(tmp_path, n=100), measured()).iloc[2]
    assert (more["published_n"], more["n"]) == (100, 10)
    assert more["note"] == "other questions: published on 100, measured on 10"
    other = compared(write_published(tmp_path, dataset="gsm8k"), measured())
    assert other["difference"].isna().all()
    assert other.iloc[2]["note"] == "other questions: published on gsm8k, measured on problems"


def test_without_anything_measured(tmp_path: Path):
    table = compared(write_published(tmp_path), accuracy().iloc[:0])
    assert len(table) == 9 and table["measured"].isna().all()


def test_printed_differences_are_checked(tmp_path: Path):
    found = other_differences(read_published(write_published(tmp_path)))
    assert found == {"printed": 2, "other": 1, "largest": 1}


def test_a_difference_is_judged_where_the_protocol_is_the_same(table: pd.DataFrame):
    assert set(table["protocol"]) == {SAME, ""} and table["differs"].eq("").all()
    judged = table.dropna(subset=["difference"])
    inside = judged["difference_low"].le(0) & judged["difference_high"].ge(0)
    assert list(judged["verdict"]) == [AGREES if each else OFF for each in inside]


def test_measured_by_the_published_scorer(tmp_path: Path):
    lenient = measured().assign(flexible=0.7)
    row = compared(write_published(tmp_path, protocol=PROTOCOL | {"scorer": "flexible"}), lenient).iloc[2]
    assert (row["measured"], row["scorer"]) == (0.7, "flexible") and row["low"] < 0.7 < row["high"]
    assert row["difference"] == pytest.approx(0.1)


FULL = {"adapter": "none", "lora": None}
APART = {
    "objective": (
        {"objective": {"sft": {}, "layerwise": STATES | {"reduction": "sum"}}}, "objective: reduction sum, here mean"
    ),
    "teacher": ({"objective": {"layerwise": STATES | {"teacher": {"shots": 4}}}}, "objective: teacher shots 4, here 8"),
    "schedule": (
        {"schedule": COURSE | {"scheduler_steps_per_step": 2}}, "schedule: scheduler_steps_per_step 2, here 1"
    ),
    "recipe": ({"recipe": RECIPE | {"lora": {"r": 8}}}, "recipe: r 8, here 16"),
    "all weights": ({"recipe": RECIPE | FULL}, "recipe: adapter none, here lora, lora none, here"),
    "prompt": ({"prompt": {"question": "{question}?"}}, "prompt: question “{question}?”, here “Q: {question}”"),
    "system": ({"prompt": {"question": "Q: {question}", "system": "Think."}}, "prompt: system Think., here none"),
    "thinking": ({"thinking": {"tuned": {}}}, "thinking: as the chat template has it, here enable_thinking off"),
    "length": ({"max_new_tokens": 32}, "longest answer: 32, here 64"),
    "scorer": ({"scorer": "study_code"}, "scorer: study_code, here strict"),
    "questions": ({"questions": {"count": 5, "seed": 1}}, "questions: 5 drawn with seed 1, here all"),
    "seeds": ({"seeds": [1, 2]}, "seeds: 1, 2, here 42"),
    "evaluation set": ({"evaluation_set": {"dataset": "gsm8k"}}, "evaluation set: dataset gsm8k, here problems"),
    "checkpoint": ({"checkpoint": "best_on_test"}, "checkpoint: best_on_test, here every one by its step"),
    "some of its rows": (
        {"evaluation_set": {"dataset": "problems", "rows": 5}}, "evaluation set: rows 5, here none"
    ),
    "precision": ({"precision": "bf16"}, "precision: bf16, here fp32"),
    "not known": ({"seeds": None}, "seeds: not known"),
    "not reproduced": ({"apart": "prompt: in another language"}, "prompt: in another language"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), APART.values(), ids=APART)
def test_every_point_sets_a_row_apart(tmp_path: Path, changes: dict, said: str):
    table = compared(write_published(tmp_path, protocol=PROTOCOL | changes), measured())
    row = table[(table["condition"] == "layerwise") & (table["step"] == 6)].iloc[0]
    assert row["protocol"] == DIFFERS and row["differs"].startswith(said)
    assert pd.isna(row["verdict"]) and row["measured"] == 0.9, "it is measured, and not judged"


def test_what_belongs_to_training_says_nothing_of_an_untrained_model(tmp_path: Path):
    other = PROTOCOL | {"schedule": COURSE | {"max_steps": 9}, "seeds": [1], "thinking": {"base": {}, "tuned": {}}}
    table = compared(write_published(tmp_path, protocol=other), measured())
    assert list(table["protocol"])[:3] == [SAME, SAME, DIFFERS]
    asked = compared(write_published(tmp_path, protocol=PROTOCOL | {"demonstrations": "per_example"}), measured())
    assert asked["differs"].iloc[1] == "demonstrations: per_example, here fixed" and asked["differs"].iloc[2] == ""


def test_without_a_protocol_nothing_is_judged(tmp_path: Path):
    table = compared(write_published(tmp_path, protocol=None), measured())
    assert set(table["protocol"]) == {UNKNOWN, ""} and table["verdict"].isna().all()


def analysis(folder: Path, **changes) -> tuple[dict, str]:
    """The summary of the small study and its written analysis."""
    folders, gap = write_study(folder), folder / "phase0.json"
    gap.write_text(json.dumps(GAP))
    outputs = {name: folder / f"{name}.csv" for name in (*TABLES, "published_vs_measured", "summary")}
    aggregate(spec(protocol=own()), folders, [gap], [], [], [write_published(folder, **changes)], outputs)
    assert len(pd.read_csv(outputs["published_vs_measured"])) == 9
    summary = json.loads(outputs["summary"].read_text())
    return summary, write_analysis(AnalysisSpec(figures={}, plain_label="B · SFT"), summary)


def test_analysis_holds_every_row(tmp_path: Path):
    summary, text = analysis(tmp_path)
    assert "8 of 9 rows are part of this study, and 7 of them are measured so far." in text
    assert "For 7 of these the protocol is the same" in text and "Set apart" not in text
    assert "| tiny, C · layer-wise, λ = 0.5, short, step 6 | 70 % of 10 | 90.0 % of 10 (" in text
    assert "by `strict` | +20.0 points (" in text and ") | in agreement |" in text
    assert "| tiny, C · layer-wise, λ = 0.5, short, steps 3 to 6 | 30 to 60 % of 10 | 40.0 to 90.0 % of 10 by" in text
    assert "huge" not in text.partition("The study disagrees")[2].partition("###")[2], "it is none of this study's"
    assert (
        "The study disagrees with itself, and every number is kept as printed:\n\n- tiny, B · SFT, λ = 0, short, step "
        "6 is 60 % in “Main” and 50 % in “Curve”\n- 1 of 2 printed differences aren't those of the accuracies printed "
        "beside them, by at most 1 in the last decimal\n" in text
    )
    assert summary["published"]["own"]["metric"] == "strict" and summary["not_compared"] == []


def test_analysis_sets_rows_of_another_protocol_apart(tmp_path: Path):
    _, text = analysis(tmp_path, protocol=PROTOCOL | {"schedule": COURSE | {"scheduler_steps_per_step": 2}})
    assert "For 2 of these the protocol is the same" in text, "two rows are of the untrained model"
    apart = text.partition("**Set apart, by another protocol** (published, here): schedule: scheduler")[2]
    assert "| result | published | measured |\n" in apart
    assert "| tiny, C · layer-wise, λ = 0.5, short, step 6 | 70 % of 10 | 90.0 % of 10 (" in apart
    assert "points (" not in apart.partition("### Curve")[0]


def test_analysis_says_whose_accuracies_these_are(tmp_path: Path):
    path = write_published(tmp_path)
    content = json.loads(path.read_text())
    source = {"author": "A. N. Other", "repository": "https://example.org/study", "taken": "figures, no code"}
    content |= {"source": source | {"commits": {"abc1234": "all"}}, "left_out": {"MATH": "not scored"}}
    content["tables"]["other"] = {
        "title": "Large", "n": 10, "rebuilt_by": "large", "rows": [SFT | {"model": "huge", "step": 6, "percent": 90}],
    }  # fmt: skip
    content["tables"]["main"]["rows"][2]["caution"] = "printed twice"
    folders, outputs = (
        write_study(tmp_path),
        {name: tmp_path / f"{name}.csv" for name in (*TABLES, "published_vs_measured", "summary")},
    )
    path.write_text(json.dumps(content))
    aggregate(spec(protocol=own()), folders, [], [], [], [path], outputs)
    text = write_analysis(AnalysisSpec(figures={}, plain_label="B · SFT"), json.loads(outputs["summary"].read_text()))
    assert "Published by A. N. Other, https://example.org/study. Read at `abc1234`: all." in text
    assert "Taken from it: figures, no code." in text
    assert "Not part of this study, and what builds it:\n\n- Large: `snakemake large`" in text
    assert "Left out:\n\n- MATH: not scored" in text and "**printed twice**" in text


def test_without_published_accuracies_there_is_no_section(tmp_path: Path):
    folders = write_study(tmp_path)
    outputs = {name: tmp_path / f"{name}.csv" for name in (*TABLES, "summary")}
    aggregate(spec(), folders, [], [], [], [], outputs)
    summary = json.loads(outputs["summary"].read_text())
    assert "published" not in summary
    assert "Published" not in write_analysis(AnalysisSpec(figures={}, plain_label="B · SFT"), summary)
