"""The comparisons that the study is about: corrected families, each comparison with its verdict."""

from typing import Any, NamedTuple

from ...config.runs import GROUP
from ...config.specs import AggregateSpec
from ..comparison import Answers, difference, size, verdicts
from ..results import Results
from ..wording import verdict_text

Row = dict[str, Any]


class Pair(NamedTuple):
    """Two results at their chosen checkpoints; `row` names them."""

    row: Row
    ours: Answers
    theirs: Answers


def columns(spec: AggregateSpec) -> list[str]:
    """Name the columns."""
    sides = ["label", "against", *GROUP, "against_condition", "against_lambda", "checkpoint", "seeds", "against_seeds"]
    numbers = ["n", "difference", "low", "high", "p", "p_corrected", "margin", "equivalence_p"]
    words = ["equivalence_p_corrected", "verdict", "detectable", "questions_needed", "seeds_needed", "text"]
    return ["family", "family_size", *sides, *numbers, *words, "from_cut"]


def rows(results: Results, spec: AggregateSpec) -> list[Row]:
    """Return a row for each declared comparison and model, as far as both sides were measured."""
    found = []
    for family, names in spec.families.items():
        pairs = [pair for model in spec.main for sides in names for pair in _pairs(results, spec, model, *sides)]
        found += _family(family, pairs, spec)
    return found


def missing(results: Results, spec: AggregateSpec) -> list[Row]:
    """List declared comparisons of which no model has both sides measured alike."""
    return [
        {"family": family, "label": _called(spec, ours), "against": _called(spec, theirs)}
        for family, names in spec.families.items()
        for ours, theirs in names
        if not any(_pairs(results, spec, model, ours, theirs) for model in spec.main)
    ]


def _called(spec: AggregateSpec, name: str) -> str:
    return spec.labels.get(name) or spec.prompts.get(name, name)


def _cells(results: Results, spec: AggregateSpec, model: str, name: str) -> list[tuple]:
    """The results of a name: a condition's chosen runs of every kind, or a base model's prompt."""
    groups = [group for group in spec.main[model] if group["condition"] == name]
    found = [*map(results.chosen_group, groups)] if groups else [results.of_prompt(model, name)]
    return [cell for cell in dict.fromkeys(found) if cell in results.cells]


def _pairs(results: Results, spec: AggregateSpec, model: str, name: str, other_name: str) -> list[Pair]:
    """Give every kind of run of one side with its like of the other."""
    ours, theirs = (_cells(results, spec, model, each) for each in (name, other_name))
    if not theirs:
        return []
    pairs = [(cell, _like(results, cell, theirs)) for cell in ours]
    if ours and results.is_base(ours[0]):
        pairs = [(ours[0], other) for other in theirs]
    return [_pair(results, cell, other) for cell, other in pairs if other and cell != other]


def _like(results: Results, cell: tuple, others: list[tuple]) -> tuple | None:
    """Find the result that a trained one is compared with.

    Both were trained equally long, by the same recipe, on as many examples: otherwise an accuracy is no evidence on a
    condition.
    """
    if results.is_base(others[0]):
        return others[0]
    trained = {key: results.name(cell, key) for key in GROUP if key not in ("condition", "lambda")}
    same = [other for other in others if all(results.name(other, key) == trained[key] for key in trained)]
    return same[0] if same else results.like(others[0], **trained)


def _pair(results: Results, cell: tuple, other: tuple) -> Pair:
    steps, other_steps = results.chosen_steps(cell), results.chosen_steps(other)
    row = {"label": results.label(cell), "against": results.label(other), "checkpoint": results.rule(cell)}
    row |= {key: results.name(cell, key) for key in GROUP}
    row |= {f"against_{key}": results.name(other, key) for key in ("condition", "lambda")}
    pair = results.pair(cell, steps, other, other_steps)
    row["from_cut"] = results.from_cut(cell, steps, other, other_steps, pair)
    return Pair(row, *pair)


def _family(family: str, pairs: list[Pair], spec: AggregateSpec) -> list[Row]:
    """Rows of one family, corrected together; sizes are stated for its strictest test."""
    if not pairs:
        return []
    found = [difference(pair.ours, pair.theirs) for pair in pairs]
    values = [float(one.value) for one in found]
    p = [float(one.p_value()) for one in found]
    equivalence = [float(one.equivalence_p_value(spec.margin)) for one in found]
    decided = verdicts(values, p, equivalence, spec.confidence)
    level = (1 - spec.confidence) / len(pairs)
    rows = []
    for n, pair in enumerate(pairs):
        low, high = (float(bound) for bound in found[n].interval(spec.confidence))
        row = pair.row | {"family": family, "family_size": len(pairs), "n": pair.ours.right.shape[1]}
        row |= {"seeds": pair.ours.seeds, "against_seeds": pair.theirs.seeds}
        row |= {"difference": values[n], "low": low, "high": high, "margin": spec.margin}
        row |= {"verdict": str(decided.words[n])}
        row |= {"p": p[n], "p_corrected": float(decided.p_corrected[n]), "equivalence_p": equivalence[n]}
        row |= {"equivalence_p_corrected": float(decided.equivalence_p_corrected[n])}
        row |= size(pair.ours, pair.theirs, spec.margin, level)._asdict()
        rows.append(row | {"text": verdict_text(row, spec.confidence)})
    return rows
