"""Scoring of answers, and what phase 0 recommends."""

from pathlib import Path

import pandas as pd
import pytest

from fewshot_distillation.config.specs import ScoreSpec
from fewshot_distillation.errors import JobError
from fewshot_distillation.evaluation.scoring import judge, score, summarise, summarise_icl_gap
from tiny import write_rows

REFERENCES = ("18", "1000", "-3", "2.5")
TEST = [{"question": f"Question {n}?", "answer": "", "reference": value} for n, value in enumerate(REFERENCES)]
# Step, question, text, finish reason; right by the mark, right only leniently, wrong, unparsed, truncated.
ANSWERS = [
    (3, 0, "#### 18.0", "stop"),
    (3, 1, "It is 1000", "stop"),
    (3, 2, "#### 3", "stop"),
    (3, 3, "two and a half", "length"),
    (6, 0, "#### 18\nor 19", "stop"),
    (6, 1, "#### $1,000.00", "stop"),
    (6, 2, "#### −3", "length"),
    (6, 3, "I say 2.50.", "stop"),
]
AS_GSM8K = ("gsm8k", ["strict", "flexible"])
IDENTITY = {"model": "tiny", "condition": "sft", "lambda": 0.0, "seed": 42, "schedule": "short"}


def predictions() -> pd.DataFrame:
    rows = [
        {
            "question_index": n,
            "shots": 0,
            "step": step,
            "question": f"Question {n}?",
            "text": text,
            "prompt_tokens": 5,
            "tokens": len(text),
            "finish_reason": reason,
        }
        for step, n, text, reason in ANSWERS
    ]
    return pd.DataFrame(rows)


def spec(metric: str = "strict") -> ScoreSpec:
    return ScoreSpec(identity=IDENTITY, metric=metric, confidence=0.95)


def test_judge():
    judged = judge(predictions(), TEST, *AS_GSM8K)
    assert "asked" not in judged
    asked = judge(predictions().assign(prompt_digest="0123456789abcdef" * 4), TEST, *AS_GSM8K)["asked"]
    assert set(asked) == {"0123456789abcdef"}
    assert list(judged["strict"]) == [True, False, False, False, True, True, True, False]
    assert list(judged["flexible"]) == [True, True, False, False, True, True, True, True]
    assert list(judged["unparsed"]) == [False, False, False, True, False, False, False, False]
    assert list(judged["truncated"]) == [False, False, False, True, False, False, True, False]
    assert list(judged["reference"][:4]) == ["18", "1000", "-3", "2.5"]
    assert judged["strict_answer"][0] == "18" and pd.isna(judged["strict_answer"][1])
    assert judged["flexible_answer"][1] == "1000"


@pytest.mark.parametrize(("metric", "correct"), [("strict", [1, 3]), ("flexible", [2, 4])])
def test_summarise(metric: str, correct: list[int]):
    table = summarise(judge(predictions(), TEST, *AS_GSM8K), spec(metric))
    assert list(table["step"]) == [3, 6] and list(table["n"]) == [4, 4]
    assert list(table["correct"]) == correct and list(table["accuracy"]) == [c / 4 for c in correct]
    assert list(table["strict"]) == [0.25, 0.75] and list(table["flexible"]) == [0.5, 1.0]
    assert list(table["unparsed"]) == [0.25, 0.0] and list(table["truncated"]) == [0.25, 0.25]
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    assert all((table[key] == value).all() for key, value in IDENTITY.items())


def test_scorers_that_the_configuration_names():
    judged = judge(predictions(), TEST, "gsm8k", ["strict"])
    assert list(judged["unparsed"]) == [False, True, False, True, False, False, False, True]
    table = summarise(judged, ScoreSpec(identity={}, scorers=["strict"], metric="strict", confidence=0.95))
    assert list(table["accuracy"]) == list(table["strict"]) and "flexible" not in table


def test_letters_are_scored_as_letters():
    answers = pd.DataFrame({"question_index": [0, 0], "shots": 0, "step": [1, 2], "question": "Q?", "text": ["", ""]})
    answers = answers.assign(text=["Answer: B", "It is (B)"], finish_reason="stop", tokens=3)
    judged = judge(answers, [{"question": "Q?", "reference": "B"}], "multiple_choice", ["strict", "flexible"])
    assert list(judged["strict"]) == [True, False] and list(judged["flexible"]) == [True, True]


def test_shots_are_summarised_apart():
    both = pd.concat([predictions().assign(step=0), predictions().assign(step=0, shots=8)])
    assert list(summarise(judge(both, TEST, *AS_GSM8K), spec())["shots"]) == [0, 8]


def test_answers_to_another_dataset():
    with pytest.raises(JobError, match="prediction for test question 1 belongs to another dataset"):
        judge(predictions(), [TEST[0], TEST[2], TEST[1], TEST[3]], *AS_GSM8K)
    with pytest.raises(JobError, match="prediction for test question 3 belongs to another dataset"):
        judge(predictions(), TEST[:3], *AS_GSM8K)


def test_score_writes_both_tables(tmp_path: Path):
    predictions().to_parquet(tmp_path / "predictions.parquet")
    test = write_rows(tmp_path / "test.jsonl", TEST)
    score(spec(), tmp_path / "predictions.parquet", test, tmp_path / "accuracy.csv", tmp_path / "judged.parquet")
    judged = pd.read_parquet(tmp_path / "judged.parquet")
    accuracy = pd.read_csv(tmp_path / "accuracy.csv")
    assert list(judged["correct"]) == list(judged["strict"]) and (judged["lambda"] == 0.0).all()
    assert accuracy["correct"].sum() == judged["correct"].sum()


def gap(**accuracies: tuple[float, float]) -> pd.DataFrame:
    """Accuracy with no and with eight demonstrations, of 100 questions each, for several models."""
    rows = [
        {"model": m, "shots": k, "n": 100, "correct": int(100 * a), "accuracy": a, "low": a - 0.1, "high": a + 0.1}
        for m, pair in accuracies.items()
        for k, a in zip((8, 0), reversed(pair), strict=True)
    ]
    return pd.DataFrame(rows)


def answers(table: pd.DataFrame, cut: int = 0) -> pd.DataFrame:
    """Judged answers with those accuracies; the last `cut` questions of 100 are cut without demonstrations."""
    rows = []
    for row in table.to_dict("records"):
        for q in range(100):
            given = {
                "question_index": q,
                "correct": q < row["correct"],
                "truncated": row["shots"] == 0 and q >= 100 - cut,
            }
            rows.append({"model": row["model"], "shots": row["shots"], **given})
    return pd.DataFrame(rows)


def test_a_gap_is_told_from_truncation():
    """Of 30 points the 20 whose answers were cut without demonstrations, and of both shares what accuracy.csv has."""
    table = gap(small=(0.2, 0.5)).assign(strict=0.1, truncated=[0.0, 0.7])
    summary = summarise_icl_gap(table, answers(table, cut=70), {"small": 4}, 0.05, 0.05)["models"]["small"]
    assert summary["from_cut"] == pytest.approx(0.2)
    assert [one["truncated"] for one in summary["accuracy"]] == [0.7, 0.0] and summary["accuracy"][0]["strict"] == 0.1
    assert "model" not in summary["accuracy"][0]


def test_the_smallest_model_that_passes_is_recommended():
    table = gap(large=(0.4, 0.7), small=(0.2, 0.5), tiny=(0.2, 0.22), poor=(0.01, 0.4))
    sizes = {"large": 8, "small": 4, "tiny": 1, "poor": 2}
    summary = summarise_icl_gap(table, answers(table), sizes, min_gap=0.05, min_floor=0.05)
    assert summary["recommended"] == "small"
    assert summary["models"]["small"]["gap"] == pytest.approx(0.3)
    flags = {name: (entry["gap_ok"], entry["floor_ok"]) for name, entry in summary["models"].items()}
    assert flags == {"large": (True, True), "small": (True, True), "tiny": (False, True), "poor": (True, False)}
    assert [a["shots"] for a in summary["models"]["small"]["accuracy"]] == [0, 8]


def test_no_model_may_pass():
    assert (
        summarise_icl_gap((table := gap(tiny=(0.5, 0.4))), answers(table), {"tiny": 1}, 0.05, 0.05)["recommended"]
        is None
    )


def test_a_gap_of_just_the_threshold_passes():
    """35 of 100 against 30 of 100 is a gain of 5 points, although 0.35 - 0.30 is a little less than 0.05 in floats."""
    assert (
        summarise_icl_gap((table := gap(tiny=(0.30, 0.35))), answers(table), {"tiny": 1}, 0.05, 0.05)["recommended"]
        == "tiny"
    )
