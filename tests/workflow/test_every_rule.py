"""Rules of which the study of the other tests has no jobs: a teacher's answers, validation, repeated evaluations."""

from pathlib import Path

import pandas as pd

from project import Project, tiny_config

RUN = "results/runs/tiny/sft/lambda0/seed42/short"
WRITTEN = "results/teachers/tiny/fewshot/written"
RULES = {"write_answers", "score_answers", "rerun", "score_rerun", "eval_validation", "score_validation"}


def test_answers_validation_and_reruns(tmp_path: Path, tiny_source: Path):
    config = tiny_config(tiny_source)
    config["datasets"]["problems"]["validation"] = 4
    config["conditions"] = {
        "sft": {"label": "B · SFT"},
        "own": {"label": "Own answers", "answers": "fewshot", "keep": "correct"},
    }
    config["schedules"]["short"] = {"max_steps": 2, "checkpoints": [1, 2]}
    config["studies"] = {
        name: {"models": ["tiny"], "conditions": [name], "schedules": ["short"]} for name in ("sft", "own")
    }
    config["icl_gap"], config["baselines"] = {}, ["zeroshot"]
    config["reruns"] = {"batches": {"batch_tokens": 512}}
    project = Project(tmp_path / "study", config)
    assert project.planned("all").keys() >= RULES
    # A model with random weights has no right answer to learn from, so nothing is trained on its own.
    again = "results/reruns/tiny/batches/zeroshot/accuracy.csv"
    project.run(f"{RUN}/validation/accuracy.csv", f"{WRITTEN}/accuracy.csv", again)
    rows = {name: (project.path("data", "problems", f"{name}.jsonl")).read_text().count("\n") for name in SPLITS}
    assert rows == {"train": 20, "test": 10, "validation": 4}
    validation = pd.read_csv(project.folder / RUN / "validation" / "accuracy.csv")
    assert list(validation["n"]) == [4, 4] and sorted(validation["step"]) == [1, 2]
    judged = pd.read_parquet(project.folder / WRITTEN / "judged.parquet")
    assert sorted(judged["question_index"]) == list(range(20)) and not judged["correct"].any()
    assert list(pd.read_csv(project.folder / again)["n"]) == [10]


SPLITS = ("train", "test", "validation")
