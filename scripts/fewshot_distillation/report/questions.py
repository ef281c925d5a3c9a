"""Every test question with each run's answer, packed for the report's question browser."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from ..analysis.chosen import chosen_step
from ..config.catalogue import BASE

# What names a set of answers.
IDENTITY = ("model", "condition", "teacher", "lambda", "seed", "schedule", "step", "shots")

# What the page is given about an answer, as the sum of these.
RIGHT, CUT, UNPARSED = 1, 2, 4

# Base64 text that answers may take in the page: with figures and tables it stays below 15 MB.
BUDGET = 11_500_000


class Column(NamedTuple):
    """One set of answers: what readers call it, and for each question what was answered."""

    about: dict[str, Any]
    answers: dict[int, list[Any]]


class Packed(NamedTuple):
    """The page's data: base64 of compressed JSON, and the names of answers for which there was no room."""

    data: str
    columns: list[dict[str, Any]]
    questions: int
    left_out: list[str]


def columns(folders: list[Path], labels: dict[str, str], prompts: dict[str, str], metric: str) -> list[Column]:
    """Collect answers of the base models and of each run's checkpoint that counts, in the order of the folders.

    Args:
        folders: of runs and baselines, with judged.parquet and predictions.parquet.
        labels, prompts: names of conditions, and of prompts of the base model, as readers see them.
        metric: the scorer whose extracted answer is shown.
    """
    found = []
    for folder in folders:
        names = [name for name in IDENTITY if name in pq.read_schema(folder / "judged.parquet").names]
        sets = pd.read_parquet(folder / "judged.parquet", columns=names).drop_duplicates()
        if sets["condition"].iloc[0] != BASE:
            sets = sets[sets["step"] == chosen_step(folder)[0]]
        for about in sets.sort_values("shots").to_dict("records"):
            answers = _answers(folder, about, metric)
            right = sum(answer[2] & RIGHT for answer in answers.values())
            found.append(Column(_about(about, labels, prompts) | {"right": right, "n": len(answers)}, answers))
    return _named(found)


def _about(about: dict[str, Any], labels: dict[str, str], prompts: dict[str, str]) -> dict[str, Any]:
    """A column's model, label, and what may tell it from others of the same label, in words."""
    if about["condition"] == BASE:
        label = prompts.get(about["teacher"], about["teacher"])
        return {"model": about["model"], "label": label, "apart": {}}
    apart = {"λ": f"λ = {about['lambda']:g}", "seed": f"seed {about['seed']:.0f}", "schedule": str(about["schedule"])}
    return {"model": about["model"], "label": labels.get(about["condition"], about["condition"]), "apart": apart}


def _named(found: list[Column]) -> list[Column]:
    """The same columns with a `name` each, just long enough to distinguish those of a model."""
    named = []
    for column in found:
        about = dict(column.about)
        apart = about.pop("apart")
        same = [c.about for c in found if (c.about["model"], c.about["label"]) == (about["model"], about["label"])]
        telling = [text for key, text in apart.items() if len({other["apart"][key] for other in same}) > 1]
        named.append(Column(about | {"name": ", ".join([about["label"], *telling])}, column.answers))
    return named


def _answers(folder: Path, about: dict[str, Any], metric: str) -> dict[int, list[Any]]:
    """By question: text, extracted answer, flags and tokens."""
    chosen = [("step", "==", int(about["step"])), ("shots", "==", int(about["shots"]))]
    judged = pd.read_parquet(folder / "judged.parquet", filters=chosen).set_index("question_index")
    wanted = ["question_index", "text", "step", "shots"]
    texts = pd.read_parquet(folder / "predictions.parquet", columns=wanted, filters=chosen).set_index("question_index")
    both = judged.join(texts[["text"]])
    extracted = both[f"{metric}_answer"].astype(object).where(both[f"{metric}_answer"].notna(), None)
    flags = RIGHT * both["correct"].astype(int) + CUT * both["truncated"].astype(int)
    flags += UNPARSED * both["unparsed"].astype(int)
    rows = zip(both.index, both["text"], extracted, flags, both["tokens"], strict=True)
    return {int(q): [str(text), given, int(flag), int(tokens)] for q, text, given, flag, tokens in rows}


def read_test(path: Path) -> list[dict[str, str]]:
    """Read the rows of the test split, whose columns scoring has checked."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def pack(test: list[dict[str, str]], found: list[Column], budget: int = BUDGET) -> Packed:
    """Compress as many columns as fit into the budget, the first ones first.

    Answers to one question are side by side, because they are alike: that halves their size.
    """
    kept = list(found)
    while True:
        asked = sorted({question for column in kept for question in column.answers})
        questions = [[q, *(test[q][key] for key in ("question", "answer", "reference"))] for q in asked]
        answers = [[column.answers.get(q) for column in kept] for q in asked]
        about = [column.about for column in kept]
        text = json.dumps({"columns": about, "questions": questions, "answers": answers}, ensure_ascii=False)
        data = base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
        if len(data) <= budget or not kept:
            left = [f"{column.about['model']}, {column.about['name']}" for column in found[len(kept) :]]
            return Packed(data, about, len(asked), left)
        kept = kept[: max(0, min(len(kept) - 1, len(kept) * budget // len(data)))]
