"""What the analysis says about the teacher's signal, from a study that was written by hand."""

import json
from pathlib import Path

import pandas as pd
import pytest

from fewshot_distillation.analysis.aggregate import aggregate
from fewshot_distillation.analysis.narrative import write_analysis
from fewshot_distillation.analysis.signal import distillation
from fewshot_distillation.analysis.signal_section import LEAST_DISTANCE, LEAST_KL, signal_section
from fewshot_distillation.analysis.tables import TABLES
from fewshot_distillation.analysis.text import escaped
from fewshot_distillation.config.analysis import aggregate_spec
from fewshot_distillation.config.conditions import HiddenStates, Learning, Logits
from fewshot_distillation.config.specs import AggregateSpec, AnalysisSpec
from study_tables import LABELS, OWN, SCORERS, accuracy, group, judged, metrics
from tiny import study

HIDDEN = 8
LAYERS = {"normalized_distance": [0.2, 0.4, 0.9], "distance": [2.0, 30.0, 400.0], "cosine": [0.9, 0.8, 0.55]}


def position(kl: float, layers: dict = LAYERS) -> dict:
    covered = {"16": {"1.0": {"mean": 0.998, "min": 0.9}, "2.0": {"mean": 0.76, "min": 0.5}}}
    kls = {"1.0": kl, "2.0": kl / 2}
    return {"kl": kls, "top1_probability": 0.6, "entropy": 1.5, "coverage": covered, "layers": layers}


AUDIT = {
    "model": "tiny",
    "teacher": "fewshot",
    "text": "question",
    "layers": [],
    "examples": 12,
    "hidden_size": HIDDEN,
    "positions": {"question_end": position(0.002), "prompt_end": position(1.04)},
}
LAYERWISE = HiddenStates(label="layerwise", target="hidden_states", teacher="fewshot")
LOGIT_KL = Logits(label="logit_kl", target="logits", teacher="fewshot", span="prompt_end")


def learning(condition: HiddenStates | Logits, changes: dict) -> Learning:
    return condition.model_copy(update=changes).learning


def spec(layerwise: dict | None = None, logit_kl: dict | None = None) -> AggregateSpec:
    conditions = {
        "layerwise": learning(LAYERWISE, layerwise or {}),
        "logit_kl": learning(LOGIT_KL, logit_kl or {}),
    }
    return AggregateSpec(
        dataset="problems",
        labels=LABELS,
        conditions=conditions,
        validation=0,
        prompts={},
        plain="sft",
        fewshot=None,
        main={},
        sweeps={},
        families={},
        margin=0.02,
        confidence=0.95,
        scorers=SCORERS,
        metric="strict",
    )


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """metrics.csv of three runs of 14 steps; at step n cross-entropy is 2 / n and distillation 4 / n."""
    paths = []
    for (condition, lam), table in metrics(14).groupby(["condition", "lambda"]):
        folder = tmp_path / "runs" / "tiny" / condition / f"lambda{lam:g}" / "seed42" / "short"
        folder.mkdir(parents=True)
        paths.append(folder / "metrics.csv")
        table.drop(columns=["condition", "lambda", "seed", "schedule"]).dropna(axis=1).to_csv(paths[-1], index=False)
    return paths


def by_objective(rows: list[dict]) -> dict[tuple, dict]:
    return {(row["condition"], row["objective"]): row for row in rows}


def test_distillation_beside_cross_entropy(runs: list[Path]):
    rows = by_objective(distillation(spec(), runs, [AUDIT]))
    assert set(rows) == {("layerwise", "sum"), ("layerwise", "mean"), ("logit_kl", "forward_kl")}
    for key in (("layerwise", "sum"), ("logit_kl", "forward_kl")):
        row = rows[key]
        assert row["trained"] and (row["model"], row["seed"], row["lambda"], row["schedule"]) == (
            "tiny",
            42,
            0.5,
            "short",
        )
        start, end = (sum(1 / n for n in steps) / 5 for steps in (range(1, 6), range(10, 15)))
        assert [row["ce_start"], row["ce_end"]] == pytest.approx([2 * start, 2 * end])
        assert [row["weighted_start"], row["weighted_end"]] == pytest.approx([0.5 * 4 * start, 0.5 * 4 * end])
    row = rows["logit_kl", "forward_kl"]
    assert (row["kl"], row["temperature"], row["kl_at_temperature"]) == (1.04, 2.0, 0.52)
    mean = rows["layerwise", "mean"]
    assert not mean["trained"] and "weighted_end" not in mean
    assert mean["weighted_start"] == pytest.approx(0.5 * (0.2 + 0.4 + 0.9) / (3 * HIDDEN))
    assert mean["numbers"] == 3 * HIDDEN and mean["distance"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "other", "value"),
    [
        ({"reduction": "mean"}, "sum", 1.5),
        ({"reduction": "mean", "normalize": False}, "sum", 432),
        ({"normalize": False}, "mean", 432 / (3 * HIDDEN)),
        ({"layers": [0, 2]}, "mean", 1.1 / (2 * HIDDEN)),
        ({"layers": [1], "normalize": False}, "mean", 30 / HIDDEN),
    ],
)
def test_the_reduction_that_was_not_trained(runs: list[Path], changes: dict, other: str, value: float):
    rows = by_objective(distillation(spec(layerwise=changes), runs, [AUDIT]))
    assert rows["layerwise", other]["weighted_start"] == pytest.approx(0.5 * value)


def test_a_run_of_one_step(runs: list[Path]):
    for path in runs:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    row = by_objective(distillation(spec(), runs, [AUDIT]))["logit_kl", "forward_kl"]
    assert (row["ce_start"], row["ce_end"]) == (2.0, 2.0)


def test_a_condition_without_cross_entropy(runs: list[Path], tmp_path: Path):
    """Its column is empty; the summary stays JSON, and the table has a dash."""
    for path in runs:
        pd.read_csv(path).assign(ce=float("nan")).to_csv(path, index=False)
    rows = distillation(spec(), runs, [AUDIT])
    assert {row["ce_start"] for row in rows} == {None} and "NaN" not in json.dumps(rows)
    text = signal_section({"signal": [AUDIT], "distillation": rows}, "tiny")
    assert "nan" not in text and "| `forward_kl` | – | " in text


def section(runs: list[Path], audit: dict = AUDIT, **changes) -> str:
    return signal_section({"signal": [audit], "distillation": distillation(spec(**changes), runs, [audit])}, "tiny")


def cells(text: str, beginning: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line.startswith(beginning)
    ]


def test_section(runs: list[Path]):
    text = section(runs)
    (row,) = cells(text, "| `prompt_end`")
    assert row == ["`prompt_end`", "1.04", "0.52", "60.0 %", "1.5", "99.8 %", "76.0 %", "1.5", "0.550 to 0.900"]
    (header,) = cells(text, "| position")
    assert header[5:7] == ["top 16 at T = 1", "top 16 at T = 2"] and len(header) == len(row)
    sum_row, mean_row = cells(text, "| C · layer-wise")
    assert sum_row[:6] == ["C · layer-wise, short, seed 42", "0.5", "`sum`", "0.913", "0.913", "1"]
    assert mean_row[2:] == ["`mean`, not trained", "0.913", "0.0312", "0.0342", "–", "–", "–"]
    assert len(cells(text, "| D · logit KL")) == 1
    assert "For C · layer-wise, `sum` and `mean` are 24 times apart." in text
    assert "next to nothing" not in text


def test_next_to_nothing_to_learn_from_logits(runs: list[Path]):
    text = section(runs, logit_kl={"span": "question_end"})
    assert "**D · logit KL has next to nothing to learn from**: at `question_end`" in text
    assert "only 0.002 nats" in text and "(1 at `prompt_end`), below 0.02" in text and "C · layer-wise has" not in text
    assert "At T = 2, with which it was trained, the distance is 0.001 nats" in text
    assert "At T =" not in section(runs, logit_kl={"span": "question_end", "temperature": 1.0})


@pytest.mark.parametrize(("factor", "warned"), [(0.99, True), (1.0, False)])
def test_thresholds(runs: list[Path], factor: float, warned: bool):
    layers = LAYERS | {"normalized_distance": [factor * LEAST_DISTANCE] * 3}
    entry = position(factor * LEAST_KL, layers)
    text = section(runs, AUDIT | {"positions": {"question_end": entry, "prompt_end": entry}})
    for label in ("C · layer-wise", "D · logit KL"):
        assert (f"**{label} has next to nothing to learn from**" in text) == warned


def test_an_audit_of_one_position_compares_it_with_no_other(runs: list[Path]):
    audit = AUDIT | {"positions": {"prompt_end": position(0.5 * LEAST_KL, LAYERS)}}
    text = section(runs, audit, layerwise={"span": "prompt_end"})
    assert "nats from the base student's, below 0.02." in text and "()" not in text


def test_without_a_teacher_there_is_no_section():
    assert signal_section({"signal": [], "distillation": []}, "tiny") == ""


def test_labels_do_not_break_the_table(runs: list[Path]):
    rows = distillation(spec(), runs, [AUDIT])
    text = signal_section(
        escaped({"signal": [AUDIT], "distillation": [row | {"label": "a|b"} for row in rows]}), "tiny"
    )
    assert text.count(r"| a\|b, short") == 3


def test_summary_and_analysis_hold_it(tmp_path: Path, runs: list[Path]):
    for path in runs:
        for name, table in (("accuracy.csv", accuracy()), ("judged.parquet", judged())):
            own = OWN[path.parts[-5]]
            part = table[(table["condition"] == path.parts[-5]) & (table["lambda"] == own)]
            save = part.to_csv if name.endswith("csv") else part.to_parquet
            save(path.parent / name, index=False)
    (tmp_path / "signal.json").write_text(json.dumps(AUDIT))
    outputs = {name: tmp_path / f"{name}.csv" for name in TABLES} | {"summary": tmp_path / "summary.json"}
    main = {"tiny": [group(name, lam) for name, lam in OWN.items()]}
    full = spec().model_copy(update={"main": main, "sweeps": {"tiny": []}})
    aggregate(full, [path.parent for path in runs], [], [], [tmp_path / "signal.json"], [], outputs)
    summary = json.loads(outputs["summary"].read_text())
    assert summary["signal"] == [AUDIT] and len(summary["distillation"]) == 3
    text = write_analysis(AnalysisSpec(figures={}, plain_label="B · SFT"), summary)
    assert section(runs) in text


def test_specs_name_what_is_in_use():
    other = {"label": "E", "target": "logits", "teacher": "fixed", "temperature": 3, "top_k": 9}
    found = study(conditions__other=other)
    audit = found.audit_signal("tiny", "fewshot", "question")
    assert (audit.top_k, audit.temperatures) == ([16], [1.0, 2.0])
    unused = found.audit_signal("tiny", "fixed", "question")
    assert (unused.top_k, unused.temperatures) == ([1024], [1.0]), "an entry that no study uses changes nothing"
    assert set(aggregate_spec(found).conditions) == {"layerwise", "logit_kl"}
    relabelled = aggregate_spec(study(conditions__layerwise__lambda=0.25)).conditions
    assert relabelled == aggregate_spec(found).conditions
