"""The tables of the study in study_tables.py."""

import pandas as pd

from fewshot_distillation.analysis.aggregate import build_tables
from fewshot_distillation.analysis.results import Results
from fewshot_distillation.config.specs import AggregateSpec
from study_tables import LABELS, PROMPTS, SCORERS, accuracy, group, judged

MAIN = [group("sft", 0.0), group("layerwise", 0.5), group("logit_kl", 0.5)]
SWEEP = [group("sft", 0.0), group("layerwise", 0.1), group("layerwise", 0.5)]
ENTRY = {"n": 10, "strict": 0.1, "flexible": 0.2, "unparsed": 0.1, "truncated": 0.2}
GAP = {
    "phase": "phase0",
    "recommended": "tiny",
    "models": {
        "tiny": {
            "parameters": 5,
            "accuracy": [
                {"shots": 0, "correct": 1, "accuracy": 0.1, "low": 0.0, "high": 0.4, **ENTRY},
                {"shots": 8, "correct": 4, "accuracy": 0.4, "low": 0.1, "high": 0.7, **ENTRY},
            ],
            "gap": 0.3,
            "from_cut": 0.2,
            "gap_ok": True,
            "floor_ok": True,
        }
    },
}


def spec(**changes) -> AggregateSpec:
    pairs = [("layerwise", "sft"), ("logit_kl", "sft")]
    given = {
        "dataset": "problems", "validation": 0, "labels": LABELS, "prompts": PROMPTS, "conditions": {},
        "plain": "sft", "fewshot": "8shot", "main": {"tiny": MAIN},
        "sweeps": {"tiny": SWEEP}, "families": {"conditions": pairs}, "margin": 0.02, "confidence": 0.95,
        "scorers": SCORERS, "metric": "strict",
    }  # fmt: skip
    return AggregateSpec(**given | changes)


def tables(
    scores: pd.DataFrame | None = None, answers: pd.DataFrame | None = None, gaps: list | None = None, **changes
) -> dict[str, pd.DataFrame]:
    scores, answers = accuracy() if scores is None else scores, judged() if answers is None else answers
    return build_tables(spec(**changes), Results(scores, answers, spec(**changes), gaps))
