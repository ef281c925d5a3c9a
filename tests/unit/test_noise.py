"""Reruns of one evaluation: what they are asked, and what their table says."""

from pathlib import Path

import pandas as pd
import pytest

from fewshot_distillation.analysis.noise import noise_floor, noise_section
from fewshot_distillation.config.base import ConfigError
from study_tables import aggregate_spec
from tiny import study


def judged(folder: Path, right: set[int], read: dict[int, str | None], **identity: str) -> Path:
    """Ten answers of a base model."""
    rows = [
        {"question_index": q, "correct": q in right, "strict_answer": read.get(q, "1"), "model": "tiny", **identity}
        for q in range(10)
    ]
    folder.mkdir(parents=True)
    pd.DataFrame(rows).sample(frac=1, random_state=len(right)).to_parquet(folder / "judged.parquet")
    return folder / "judged.parquet"


def test_the_table_counts_what_came_out_otherwise(tmp_path: Path):
    baselines = [
        judged(tmp_path / "a", {0, 1, 2, 3}, {9: None}, teacher="8shot"),
        judged(tmp_path / "b", {0}, {}, teacher="0shot"),
    ]
    again = judged(tmp_path / "c", {1, 2, 3, 4, 5}, {9: None, 0: "7", 4: "8", 5: None}, teacher="8shot", rerun="other")
    (row,) = noise_floor(aggregate_spec(), [again], baselines).to_dict("records")
    assert (row["label"], row["rerun"], row["n"]) == ("A · 8-shot", "other", 10)
    assert (row["accuracy"], row["rerun_accuracy"], row["only_first"], row["only_rerun"]) == (0.4, 0.5, 1, 2)
    assert row["read_otherwise"] == pytest.approx(0.3), "nothing was read from question 9 both times"
    assert row["difference"] == pytest.approx(0.1) and row["low"] < 0.1 < row["high"]
    assert "| 1 and 2 of 10 | +10.0 points" in noise_section([row]) and noise_section([]) == ""


def test_a_rerun_differs_from_its_baseline_in_what_it_says():
    one = study(reruns={"small": {"batch_tokens": 512}})
    assert one.repeated == [("tiny", "small", "zeroshot"), ("tiny", "small", "fewshot")] and not study().repeated
    again, first = one.rerun("tiny", "small", "fewshot"), one.baseline("tiny", "fewshot", "all")
    assert again.evaluation.batch_tokens == 512
    assert again.model_copy(update={"evaluation": first.evaluation}) == first
    with pytest.raises(ConfigError, match="a rerun needs another backend or other batch_tokens"):
        study(reruns={"same": {}})
