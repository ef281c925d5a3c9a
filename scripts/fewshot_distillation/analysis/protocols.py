"""In which points a published accuracy came about otherwise than the one measured here."""

from collections.abc import Iterator
from typing import Any

from ..config.catalogue import BASE
from ..config.protocol import MAIN, OwnProtocol, Protocol
from ..config.published import Published

Row = dict[str, Any]
# What the column `protocol` says: all points are the same, some differ, or nothing is known of them. It is empty where
# a row isn't part of this study.
SAME, DIFFERS, UNKNOWN = "same", "differs", "unknown"
NOT_KNOWN = "not known"
# Rules for choosing a checkpoint that agree where the row names its step.
BY_STEP = ("last", "named")


def is_part(own: OwnProtocol, row: Row) -> bool:
    """Say whether the study at hand builds what a published row is about, by its names."""
    model = own.models.get(row["model"])
    if row["condition"] != BASE:
        return model is not None and row["condition"] in own.objective and row["schedule"] in model.runs
    asked = own.asked.get(row["phase"] or MAIN)
    return asked is not None and row["model"] in asked.models and row["shots"] in asked.demonstrations


def differences(published: Protocol, own: OwnProtocol, row: Row) -> list[str]:
    """Name each point in which the protocols of a row differ, as text: `point: theirs, here ours`.

    Args:
        published: of the row's table; a point that it leaves out counts as a difference, as it is unknown.
        own: of the study at hand, which has the row (`is_part`).
        row: a published row, with None where it has no schedule or phase.
    """
    found = []
    for point, theirs, ours in _points(published, own, row):
        if theirs is None:
            found.append(f"{point}: {NOT_KNOWN}")
        elif parts := list(_apart(theirs, ours)):
            found.append(f"{point}: {', '.join(parts)}")
    return [*found, published.apart] if published.apart else found


def models_apart(published: Published, own: OwnProtocol) -> set[str]:
    """Models of which a published row has another protocol than here, or an unknown one."""
    apart = set()
    for _, table, entry in published.rows():
        row = entry.model_dump()
        if is_part(own, row) and (table.protocol is None or differences(table.protocol, own, row)):
            apart.add(entry.model)
    return apart


def scorer_of(published: Protocol | None, own: OwnProtocol) -> str:
    """Return the scorer that measures a row: the published one where it is scored here, or else the study's metric."""
    return published.scorer if published and published.scorer in own.scorers else own.metric


def _points(published: Protocol, own: OwnProtocol, row: Row) -> Iterator[tuple[str, Any, Any]]:
    """Each point that says something of a row: its name, and its value there and here."""
    model, trained = own.models[row["model"]], row["condition"] != BASE
    purpose = "tuned" if trained else "base"
    if trained:
        run = model.runs[row["schedule"]]
        yield "objective", published.objective.get(row["condition"]), own.objective[row["condition"]]
        yield "schedule", _plain(published.schedule), _plain(run.schedule)
        yield "recipe", _plain(published.recipe), _plain(run.recipe)
    yield "model", published.models.get(row["model"]), model.hub or published.models.get(row["model"])
    yield "precision", published.precision, own.precision
    # The published code left dates to the template, which knows the day of the run.
    yield "prompt", _plain(published.prompt, "template_date"), _plain(model.prompt, "template_date")
    asked = own.asked[row["phase"] or MAIN]
    if not trained and row["shots"]:
        yield "demonstrations", published.demonstrations, asked.demonstrations[row["shots"]]
    thinking = published.thinking and getattr(published.thinking, purpose)
    yield "thinking", _arguments(thinking), _arguments(getattr(model.thinking, purpose))
    yield "longest answer", published.max_new_tokens, own.max_new_tokens
    yield "scorer", published.scorer, scorer_of(published, own)
    yield "questions", _questions(published.questions), _questions(asked.questions)
    known = () if own.evaluation_set.hub else ("hub",)
    yield "evaluation set", _plain(published.evaluation_set, *known), _plain(own.evaluation_set, *known)
    if trained:
        # A run that nobody seeded is one of those that any seed gives.
        yield "seeds", published.seeds, "unseeded" if published.seeds == "unseeded" else own.seeds
        ours = published.checkpoint if published.checkpoint in BY_STEP else "every one by its step"
        yield "checkpoint", published.checkpoint, ours


def _plain(value: Any, *without: str) -> Row | None:
    return None if value is None else value.model_dump(mode="json", exclude=set(without))


def _arguments(given: dict[str, Any] | None) -> str | None:
    """Arguments of a chat template as text; without any, the template decides."""
    if given is None:
        return None
    return ", ".join(f"{key} {_word(given[key])}" for key in sorted(given)) or "as the chat template has it"


def _questions(value: Any) -> str | None:
    if value is None or value == "all":
        return value
    return f"the first {value}" if isinstance(value, int) else f"{value.count} drawn with seed {value.seed}"


def _apart(theirs: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Each entry in which two values differ, by its key."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in dict.fromkeys([*theirs, *ours]):
            yield from _apart(theirs.get(key), ours.get(key), f"{where} {key}" if where == "teacher" else key)
    elif _lists_alike(theirs, ours):
        for one, other in zip(theirs, ours, strict=True):
            yield from _apart(one, other, where)
    elif theirs != ours:
        yield f"{where} {_word(theirs)}, here {_word(ours)}".strip()


def _lists_alike(theirs: Any, ours: Any) -> bool:
    """Whether both are lists of targets that can be compared one by one."""
    if not (isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours)):
        return False
    return all(isinstance(each, dict) for each in [*theirs, *ours])


def _word(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and "{" in value:
        return f"“{value}”"
    if isinstance(value, list):
        return "several targets" if any(isinstance(each, dict) for each in value) else ", ".join(map(_word, value))
    return str(value)
