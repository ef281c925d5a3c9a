"""Rules that the study of the other tests has no jobs of: answers of a teacher, validation, evaluations once more."""

import json
from pathlib import Path

import pandas as pd

from project import Project, tiny_config


def test_answers_validation_and_reruns(tmp_path: Path, tiny_source: Path):
    config = tiny_config(tiny_source)
    config["datasets"]["problems"]["validation"] = 4
    config["conditions"] = {
        "sft": {"label": "B · SFT"},
        "own": {"label": "Own answers", "answers": "fewshot", "keep": "correct"},
    }
    config["schedules"]["short"] = {"max_steps": 2, "checkpoints": [1, 2]}
    config["studies"] = {
        "main": {"models": ["tiny"], "conditions": ["sft"], "schedules": ["short"]},
        "own": {"models": ["tiny"], "conditions": ["own"], "schedules": ["short"]},
    }
    config["icl_gap"], config["baselines"] = {}, ["zeroshot"]
    config["reruns"] = {"batches": {"batch_tokens": 512}}
    project = Project(tmp_path / "study", config)
    # A model with random weights has no right answer to learn from, so nothing is trained on its own.
    rules = ["write_answers", "score_answers", "rerun", "score_rerun", "eval_validation", "score_validation"]
    assert project.planned("all").keys() >= set(rules)
    project.run("all", "--until", *rules)
    runs = project.path("runs", "tiny", "sft", "lambda0", "seed42", "short")
    questions = {split: len(project.path("data", "problems", f"{split}.jsonl").read_text().splitlines())
                 for split in ("train", "test", "validation")}  # fmt: skip
    assert questions == {"train": 20, "test": 10, "validation": 4}
    validation = pd.read_csv(runs / "validation" / "accuracy.csv")
    assert list(validation["n"]) == [4, 4] and sorted(validation["step"]) == [1, 2]
    written = project.path("teachers", "tiny", "fewshot", "written")
    answers, judged = pd.read_parquet(written / "predictions.parquet"), pd.read_parquet(written / "judged.parquet")
    assert len(answers) == len(judged) == questions["train"] and not judged["correct"].any()
    again = list(project.path("baselines").rglob("batches/**/accuracy.csv")) or list(
        project.path().rglob("reruns/**/accuracy.csv")
    )
    assert again and all(list(pd.read_csv(path)["n"]) == [10] for path in again)
    assert "no example is left" in project.run("all", "--until", "train", check=False)
