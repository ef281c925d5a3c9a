"""The first lines of analysis.md: the question, and the answer with its uncertainty."""

from typing import Any

from ..config.catalogue import BASE
from ..config.specs import AnalysisSpec
from .text import code, interval, percent
from .wording import certainty, verdict_in_brief

Row = dict[str, Any]


def headline(spec: AnalysisSpec, summary: dict[str, Any]) -> str:
    """Write the question, and for each model what it answers and how sure that is; `summary` is escaped."""
    rows = summary["main_comparison"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    asked = (
        f"the test questions of {code(spec.config['dataset'])}" if "dataset" in spec.config else "the test questions"
    )
    question = (
        "**Can what demonstrations in the prompt add to a language model be trained into its weights?** Here a model "
        f"learns from itself with demonstrations in its prompt, and is then asked {asked} without any."
    )
    answers = [_answer(spec, summary, [row for row in rows if row["model"] == model]) for model in models]
    named = zip(models, answers, strict=True)
    answers = [f"{f'**{model}**: ' if len(models) > 1 else ''}{answer}" for model, answer in named if answer]
    return "\n\n".join([question, *answers])


def _answer(spec: AnalysisSpec, summary: dict[str, Any], rows: list[Row]) -> str:
    """A sentence for each family of comparisons, one for the base model, and one for how certain that is."""
    trained = {row["label"]: row for row in rows if row["condition"] != BASE}
    if not trained:
        return ""
    compared = [row for row in summary["comparisons"] if row["model"] == rows[0]["model"] and row["label"] in trained]
    families = {row["family"]: [one for one in compared if one["family"] == row["family"]] for row in compared}
    verdicts = [_verdict(family, rows, summary["confidence"]) for family in families.values()]
    sure = certainty(compared[0]) if compared else ""
    return " ".join(part for part in [*(verdicts or [_uncompared(spec, trained)]), _base(rows), sure] if part)


def _verdict(family: list[Row], rows: list[Row], confidence: float) -> str:
    """The family's condition that is most often right, and what it was compared with."""
    known = {row["label"]: row for row in rows}
    names = list(dict.fromkeys(row["label"] for row in family))
    best = max(names, key=lambda name: known[name]["accuracy"])
    equal = sum(known[name]["accuracy"] == known[best]["accuracy"] for name in names) > 1
    which = f", {'among ' if equal else ''}the best of {len(names)} conditions compared," if len(names) > 1 else ""
    mine = [row for row in family if row["label"] == best]
    verdicts = [verdict_in_brief(row, known.get(row["against"]), confidence) for row in mine]
    return f"**{best}**{which} answers {_share(known[best])}: {_and(verdicts)}."


def _uncompared(spec: AnalysisSpec, trained: dict[str, Row]) -> str:
    taught = [row for row in trained.values() if row["label"] != spec.plain_label] or list(trained.values())
    best = max(taught, key=lambda row: row["accuracy"])
    return f"**{best['label']}** answers {_share(best)}; no comparison of it gets a verdict."


def _base(rows: list[Row]) -> str:
    known = [f"{_share(row)} {_prompt(row)}" for row in rows if row["condition"] == BASE]
    return f"The base model {rows[0]['model']} answers {_and(known)}, on {rows[0]['n']} questions." if known else ""


def _share(row: Row) -> str:
    """Write an accuracy with its interval, over all seeds."""
    seeds = f" over {row['seeds']} seeds" if row["seeds"] > 1 else ""
    return f"{percent(row['accuracy'])} correctly{seeds} ({interval(row['low'], row['high'])})"


def _prompt(row: Row) -> str:
    """How a base model was asked, by the label of a teacher or its demonstrations."""
    shots = row["shots"]
    prompt = "without demonstrations" if shots == 0 else f"with {shots:g} demonstrations in its prompt"
    return prompt if row["teacher"] is None else f"{prompt} ({row['label']})"


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
