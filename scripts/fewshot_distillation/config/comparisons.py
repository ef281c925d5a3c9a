"""Checks of the declared comparisons: each once, and of results that a study has."""

from collections.abc import Iterator

from .config import Config
from .prompts import Prompts
from .runs import Runs


def wrong_comparisons(config: Config) -> Iterator[str]:
    """Yield comparisons that are declared twice, and those that no result would answer."""
    yield from _repeated(config)
    yield from _unanswered(config)


def _repeated(config: Config) -> Iterator[str]:
    """Yield pairs that stand in two places, either way round: each place would correct for other tests."""
    seen: dict[frozenset, str] = {}
    for family, pairs in config.comparisons.items():
        for number, (ours, theirs) in enumerate(pairs):
            where, sides = f"comparisons.{family}.{number}", frozenset((ours, theirs))
            if sides in seen:
                yield (
                    f"{where}: expected each comparison once, got '{ours}' and '{theirs}' again, which "
                    f"{seen[sides]} compares already and may give another verdict; take out one of the two"
                )
            seen.setdefault(sides, where)


def _unanswered(config: Config) -> Iterator[str]:
    """Yield pairs of which a side isn't measured, or not under the conditions of the other.

    Where `build` or the command line chooses studies, comparisons of the others wait for them, as the analysis says.
    """
    runs = Runs(config)
    if not runs.runs:
        return
    trained, prompts = runs.trained, Prompts(config).baselines(list(runs.trained))
    waiting = _waiting(config) - {*trained, *prompts}
    for family, pairs in config.comparisons.items():
        for number, pair in enumerate(pairs):
            where = f"comparisons.{family}.{number}"
            for name in pair:
                if name in trained or name in prompts or name in waiting:
                    continue
                if name in config.teachers:
                    yield (
                        f"{where}: expected a prompt that the base model is evaluated with, got '{name}', which is not "
                        f"among {', '.join(prompts)}; add it to `baselines`"
                    )
                else:
                    yield (
                        f"{where}: expected a condition that is trained, got '{name}', which no study that is built "
                        "trains; add it to one, or take out the comparison"
                    )
            if config.build is None and all(name in trained for name in pair) and not _alike(runs, *pair):
                yield f"{where}: {_unlike(runs, *pair)}"


def _waiting(config: Config) -> set[str]:
    """Names of conditions and teachers of all studies, also those that are optional or that `build` leaves out."""
    names = {name for study in config.studies.values() for name in study.conditions}
    if config.baselines is not None:
        return names
    conditions = [config.conditions[name] for name in names]
    taught = {target.teacher for one in conditions for target in one.all_targets}
    return names | taught | {one.answers for one in conditions}


def _alike(runs: Runs, ours: str, theirs: str) -> bool:
    """Whether a run that the first side is judged by has its like of the other side."""
    for model in runs.models:
        others = {run.schedule for run in runs.default_runs(model) if run.condition == theirs}
        if any(run.condition == ours and run.schedule in others for run in runs.main_runs(model)):
            return True
    return False


def _unlike(runs: Runs, ours: str, theirs: str) -> str:
    def trained(name: str, longest: bool) -> str:
        found = [r for m in runs.models for r in (runs.main_runs(m) if longest else runs.default_runs(m))]
        return ", ".join(dict.fromkeys(f"{r.model} {r.schedule}" for r in found if r.condition == name))

    return (
        f"expected '{ours}' and '{theirs}' to be trained on the same model with the same schedule, recipe and number "
        f"of examples, got {trained(ours, True)} and {trained(theirs, False)}; add a study that trains both alike"
    )
