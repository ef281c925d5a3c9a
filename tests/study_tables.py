"""A finished study by hand: one model, three conditions, two checkpoints, ten questions."""

import pandas as pd

from fewshot_distillation.analysis.measured import Measured
from fewshot_distillation.config.specs import AggregateSpec, PlotSpec
from fewshot_distillation.evaluation.scoring import proportion_interval

LABELS = {"sft": "B · SFT", "layerwise": "C · layer-wise", "logit_kl": "D · logit KL"}
PROMPTS = {"0shot": "Base · 0-shot", "8shot": "A · 8-shot"}
QUESTIONS = 10
SCORERS = {"strict": "the number after `####` equals the reference", "flexible": "its last number does"}
# Questions that are answered right, of ten, by condition, λ, seed, schedule, step and shots.
RIGHT = {
    ("base", None, None, None, 0, 0): {0},
    ("base", None, None, None, 0, 8): {0, 1, 2, 3},
    ("sft", 0.0, 42, "short", 3, 0): {0, 1, 2},
    ("sft", 0.0, 42, "short", 6, 0): {0, 1, 2, 3, 4},
    ("layerwise", 0.1, 42, "short", 3, 0): {0, 1},
    ("layerwise", 0.1, 42, "short", 6, 0): {0, 1, 2, 3, 4},
    ("layerwise", 0.5, 42, "short", 3, 0): {0, 1, 2, 3},
    ("layerwise", 0.5, 42, "short", 6, 0): {1, 2, 3, 4, 5, 6, 7, 8, 9},
    ("logit_kl", 0.5, 42, "short", 3, 0): {5},
    ("logit_kl", 0.5, 42, "short", 6, 0): {0, 1, 2, 3},
}
RUN_KEYS = ("condition", "lambda", "seed", "schedule", "step", "shots")
OWN = {"sft": 0.0, "layerwise": 0.5, "logit_kl": 0.5}


def group(condition: str, lam: float) -> dict:
    """What names the runs of a condition, whatever their seed."""
    return {"model": "tiny", "condition": condition, "lambda": lam, "schedule": "short"}


def accuracy() -> pd.DataFrame:
    """accuracy.csv of all runs and baselines."""
    rows = []
    for key, right in RIGHT.items():
        k = len(right)
        low, high = proportion_interval(k, QUESTIONS, 0.95)
        rates = {"strict": k / QUESTIONS, "flexible": k / QUESTIONS, "unparsed": 0.1, "truncated": 0.2}
        counts = {"n": QUESTIONS, "correct": k, "accuracy": k / QUESTIONS, "low": low, "high": high}
        rows.append({"model": "tiny", **dict(zip(RUN_KEYS, key, strict=True)), **counts, **rates, "phase": None})
    return pd.DataFrame(rows)


def judged() -> pd.DataFrame:
    """judged.parquet of all runs and baselines; questions in another order in every run."""
    rows = []
    for number, (key, right) in enumerate(RIGHT.items()):
        for q in range(QUESTIONS):
            q = (7 * q + number) % QUESTIONS
            run = dict(zip(RUN_KEYS, key, strict=True))
            rows.append({"model": "tiny", **run, "question_index": q, "correct": q in right})
    return pd.DataFrame(rows)


def more_seeds() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy and judged answers of three seeds; seeds 43 and 44 answer one or two questions more the other way."""
    first = judged()
    parts = [first]
    for seed in (43, 44):
        more = first[first["condition"] != "base"].assign(seed=seed)
        more["correct"] ^= more["question_index"] < seed - 42
        parts.append(more)
    answers = pd.concat(parts, ignore_index=True)
    right = answers.groupby([*RUN_KEYS], dropna=False)["correct"].sum()
    scores = [accuracy(), *(accuracy().query("condition != 'base'").assign(seed=seed) for seed in (43, 44))]
    table = pd.concat(scores, ignore_index=True).drop(columns="correct")
    table = table.merge(right.reset_index(), on=list(RUN_KEYS), how="left", validate="one_to_one")
    return table.assign(accuracy=table["correct"] / QUESTIONS), answers


def metrics(steps: int = 6) -> pd.DataFrame:
    """metrics.csv of three conditions, as `read_metrics` puts them together."""
    rows = []
    for condition, lam in (("sft", 0.0), ("layerwise", 0.5), ("logit_kl", 0.5)):
        for step in range(1, steps + 1):
            extra = {} if condition == "sft" else {"distillation": 4.0 / step}
            run = {"condition": condition, "lambda": lam, "seed": 42, "schedule": "short"}
            rows.append({"step": step, "loss": 2.0 / step, "ce": 2.0 / step, "lr": 1e-4, **run, **extra})
    return pd.DataFrame(rows)


def plot_spec(figure: str, **changes) -> PlotSpec:
    given = {
        "figure": figure, "model": "tiny", "labels": LABELS, "prompts": PROMPTS, "fewshot": "8shot", "lambdas": OWN,
        "dpi": 60, "width": 6.5, "font_size": 9, "confidence": 0.95,
    }  # fmt: skip
    return PlotSpec(**given | changes)


def measured(table: pd.DataFrame, published: pd.DataFrame | None = None, answers: pd.DataFrame | None = None):
    """What a figure is given: a table of accuracies or of metrics, with every judged answer that there is."""
    nothing = pd.DataFrame()
    if "ce" in table:
        return Measured(nothing, nothing, table, published)
    table = table.assign(split="test", teacher=None)
    return Measured(table, judged() if answers is None else answers, nothing, published)


def aggregate_spec() -> AggregateSpec:
    main = [group("sft", 0.0), group("layerwise", 0.5), group("logit_kl", 0.5)]
    return AggregateSpec(
        dataset="problems", validation=0, labels=LABELS, prompts=PROMPTS, conditions={}, plain="sft", fewshot="8shot",
        main={"tiny": main}, sweeps={"tiny": []}, families={}, margin=0.02, confidence=0.95, scorers=SCORERS,
        metric="strict",
    )  # fmt: skip
