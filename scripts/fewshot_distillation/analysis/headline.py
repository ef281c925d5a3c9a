"""The first lines of analysis.md: the question, and the answer with its uncertainty."""

from typing import Any

from ..config.catalogue import BASE
from ..config.specs import AnalysisSpec
from .text import interval, percent

Row = dict[str, Any]


def headline(spec: AnalysisSpec, summary: dict[str, Any]) -> str:
    """The question in a sentence, and for each model what it answers and how sure that is; `summary` is escaped."""
    rows = summary["main_comparison"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    question = (
        "**Can what demonstrations in the prompt add to a language model be trained into its weights?** In this study"
        f" a model learns from itself with demonstrations in its prompt, and is then asked {_dataset(spec)} without "
        f"any, beside {spec.plain_label or 'the untrained model'}."
    )
    answers = [_answer(spec, summary, [row for row in rows if row["model"] == model]) for model in models]
    return "\n\n".join([question, *(answer for answer in answers if answer)])


def _dataset(spec: AnalysisSpec) -> str:
    return f"the test questions of `{spec.config['dataset']}`" if "dataset" in spec.config else "the test questions"


def _share(row: Row) -> str:
    """An accuracy with its interval, over all seeds."""
    seeds = f" over {row['seeds']} seeds" if row["seeds"] > 1 else ""
    return f"{percent(row['accuracy'])}{seeds} ({interval(row['low'], row['high'])})"


def _answer(spec: AnalysisSpec, summary: dict[str, Any], rows: list[Row]) -> str:
    trained = [row for row in rows if row["condition"] != BASE]
    if not trained:
        return ""
    model = rows[0]["model"]
    plain = next((row for row in trained if row["label"] == spec.plain_label), None)
    taught = [row for row in trained if row is not plain]
    known = [f"{_share(row)} {_prompt(row)}" for row in rows if row["condition"] == BASE]
    known += [f"{_share(plain)} after {plain['label']}"] if plain else []
    first = f"On {rows[0]['n']} questions **{model}** is right in {_and(known)}." if known else ""
    if not taught:
        return f"{first} No condition with a teacher was trained.".strip()
    best = max(taught, key=lambda row: row["accuracy"])
    which = (
        "The condition with a teacher" if len(taught) == 1 else f"The best of {len(taught)} conditions with a teacher"
    )
    text = f"{first} {which}, **{best['label']}**, is right in {_share(best)}"
    compared = [row for row in summary["comparisons"] if row["model"] == model and row["label"] == best["label"]]
    said = [f"Against {row['against']}: {row['text']}" for row in compared]
    return f"{text.strip()}. {' '.join(said) or 'No comparison of it gets a verdict.'}"


def _prompt(row: Row) -> str:
    """How a base model was asked, by the label of a teacher or its demonstrations."""
    shots = row["shots"]
    said = "without demonstrations" if shots == 0 else f"with {shots:g} demonstrations in its prompt"
    return said if row["teacher"] is None else f"{said} ({row['label']})"


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
