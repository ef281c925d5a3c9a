"""The first lines of analysis.md: the question, and the answer with its uncertainty."""

from typing import Any, NamedTuple

from ..config.catalogue import BASE
from ..config.specs import AnalysisSpec
from .text import interval, percent, points

Row = dict[str, Any]


class Outcome(NamedTuple):
    """One condition at the end of training; bounds are the interval of one seed, or the range of several."""

    label: str
    accuracy: float
    low: float
    high: float
    rows: list[Row]

    def __str__(self) -> str:
        seeds = len(self.rows)
        if seeds == 1:
            return f"{percent(self.accuracy)} ({interval(self.low, self.high)})"
        return f"{percent(self.accuracy)} on average over {seeds} seeds ({interval(self.low, self.high)})"


def headline(spec: AnalysisSpec, summary: dict[str, Any]) -> str:
    """The question in a sentence, and for each model what it answers and how sure that is; `summary` is escaped."""
    rows = summary["main_comparison"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    question = (
        "**Can what demonstrations in the prompt add to a language model be trained into its weights?** In this study"
        f" a model learns from itself with demonstrations in its prompt, and is then asked {_dataset(spec)} without "
        f"any, beside {spec.plain_label or 'the untrained model'}."
    )
    answers = [_answer(spec, [row for row in rows if row["model"] == model], model) for model in models]
    return "\n\n".join([question, *(answer for answer in answers if answer)])


def _dataset(spec: AnalysisSpec) -> str:
    return f"the test questions of `{spec.config['dataset']}`" if "dataset" in spec.config else "the test questions"


def _outcomes(rows: list[Row]) -> list[Outcome]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["label"], row["lambda"]), []).append(row)
    found = []
    for (label, _), group in groups.items():
        shares = [row["accuracy"] for row in group]
        low, high = (group[0]["low"], group[0]["high"]) if len(group) == 1 else (min(shares), max(shares))
        found.append(Outcome(label, sum(shares) / len(shares), low, high, group))
    return found


def _answer(spec: AnalysisSpec, rows: list[Row], model: str) -> str:
    untrained = _outcomes([row for row in rows if row["condition"] == BASE])
    trained = _outcomes([row for row in rows if row["condition"] != BASE])
    if not trained:
        return ""
    plain = next((one for one in trained if one.label == spec.plain_label), None)
    taught = [one for one in trained if one is not plain]
    known = [f"{one} {_shots(one.rows[0]['shots'])}" for one in untrained]
    known += [f"{plain} after {plain.label}"] if plain else []
    n = rows[0]["n"]
    first = f"On {n} questions **{model}** is right in {_and(known)}." if known else ""
    if not taught:
        return f"{first} No condition with a teacher was trained."
    best = max(taught, key=lambda one: one.accuracy)
    which = (
        "The condition with a teacher" if len(taught) == 1 else f"The best of {len(taught)} conditions with a teacher"
    )
    text = f"{first} {which}, **{best.label}**, is right in {best}"
    return text.strip() + (f": {_verdict(best, plain)}" if plain else ".")


def _shots(shots: int) -> str:
    return "without demonstrations" if shots == 0 else f"with {shots} demonstrations in its prompt"


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _verdict(best: Outcome, plain: Outcome) -> str:
    """How the best condition compares with plain fine-tuning, and how sure that is."""
    tested = [row for row in best.rows if row["vs_plain_difference"] is not None]
    if not tested:
        return "it wasn't compared with plain fine-tuning."
    differences = ", ".join(
        f"{points(row['vs_plain_difference'])} ({100 * row['vs_plain_low']:+.1f} to {100 * row['vs_plain_high']:+.1f}; "
        f"p = {row['vs_plain_p_holm']:.2g} after correction)"
        for row in tested
    )
    sure = [row for row in tested if row["vs_plain_p_holm"] < 0.05]
    if len(sure) == len(tested):
        return f"{differences} against {plain.label}, more than chance explains."
    found = [row["vs_plain_detectable"] for row in tested]
    least = (
        ""
        if None in found
        else f"; a true difference of {100 * max(found):.1f} points would be found four times out of five"
    )
    few = (
        "the two can't be told apart by these questions"
        if not sure
        else f"only {len(sure)} of {len(tested)} seeds tell them apart"
    )
    return f"{differences} against {plain.label}, so {few}{least}."
