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


def test_other_prompts_are_not_compared(tmp_path: Path, caplog):
    """What their answers record: a rerun that was asked in other words is no measure of noise."""
    first = judged(tmp_path / "a", {0, 1}, {}, teacher="8shot", asked="one")
    again = [
        judged(tmp_path / name, {0}, {}, teacher="8shot", rerun=name, asked=asked)
        for name, asked in (("same", "one"), ("other", "two"))
    ]
    with caplog.at_level("WARNING"):
        found = noise_floor(aggregate_spec(), again, [first])
    same, other = found.to_dict("records")
    assert (same["other_prompts"], same["only_first"]) == (0, 1)
    assert other["other_prompts"] == 10 and pd.isna(other["difference"])
    assert "rerun other of A · 8-shot: 10 of 10 questions were asked in other words" in caplog.text
    for rows in ([same, other], [other]):
        text = noise_section(rows)
        assert text.startswith("## Noise") and "**other of tiny, A · 8-shot**: 10 of 10" in text
        assert text.count("1 and 0 of 10") == len(rows) - 1


def test_a_rerun_differs_from_its_baseline_in_what_it_says():
    one = study(reruns={"small": {"batch_tokens": 512}})
    assert one.repeated == [("tiny", "small", "zeroshot"), ("tiny", "small", "fewshot")] and not study().repeated
    again, first = one.rerun("tiny", "small", "fewshot"), one.baseline("tiny", "fewshot", "all")
    assert again.evaluation.batch_tokens == 512
    assert again.model_copy(update={"evaluation": first.evaluation}) == first
    one = study(models__tiny__chat_template_base={}, reruns={"small": {"batch_tokens": 512}})
    again, first = one.rerun("tiny", "small", "zeroshot"), one.baseline("tiny", "zeroshot", "all")
    assert again.model == first.model != one.model_spec("tiny"), "the base model's own prompt is asked again"
    with pytest.raises(ConfigError, match="a rerun needs another backend or other batch_tokens"):
        study(reruns={"same": {}})
