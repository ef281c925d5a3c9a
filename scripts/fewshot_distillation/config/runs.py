"""Which training runs a configuration asks for, and which of them a figure or table shows."""

from typing import NamedTuple

from .catalogue import Condition
from .config import Config


def lambda_text(lam: float) -> str:
    """λ as it stands in paths and names: 0.5, 1, 2."""
    return repr(float(lam)).removesuffix(".0")


class Run(NamedTuple):
    """One training run; the fields are the wildcards of its folder."""

    model: str
    condition: str
    lam: str
    seed: int
    schedule: str


class Runs:
    """All runs that the configuration asks for."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.runs = list(dict.fromkeys(self._expand()))

    def _expand(self):
        config = self.config
        for study in config.studies.values():
            for model in study.models:
                for schedule in study.schedules:
                    for name in study.conditions:
                        condition = config.conditions[name]
                        own = condition.target == "none" or study.lambdas is None
                        for lam in [condition.lam] if own else study.lambdas:
                            for seed in study.seeds or config.seeds:
                                yield Run(model, name, lambda_text(lam), seed, schedule)

    # --- selections -------------------------------------------------------------------------------------------------

    @property
    def models(self) -> list[str]:
        """Models that are trained."""
        return list(dict.fromkeys(run.model for run in self.runs))

    @property
    def trained(self) -> dict[str, Condition]:
        """Conditions that are trained: an entry that no study uses must not make a result stale."""
        names = {run.condition for run in self.runs}
        return {name: condition for name, condition in self.config.conditions.items() if name in names}

    def runs_of(self, model: str) -> list[Run]:
        return [run for run in self.runs if run.model == model]

    def default_runs(self, model: str) -> list[Run]:
        """Runs at each condition's own λ; where the grid doesn't have it, at the first λ above 0."""
        runs = self.runs_of(model)
        chosen: dict[str, str] = {}
        for name in dict.fromkeys(run.condition for run in runs):
            own = lambda_text(self.config.conditions[name].lam)
            lams = [run.lam for run in runs if run.condition == name]
            chosen[name] = min(lams, key=lambda lam, own=own: (lam != own, lam == "0"))
        return [run for run in runs if run.lam == chosen[run.condition]]

    def main_runs(self, model: str) -> list[Run]:
        """Of the default runs those with each condition's longest schedule."""
        runs = self.default_runs(model)
        longest: dict[str, str] = {}
        for run in runs:
            best = longest.setdefault(run.condition, run.schedule)
            if self.config.schedules[run.schedule].max_steps > self.config.schedules[best].max_steps:
                longest[run.condition] = run.schedule
        return [run for run in runs if run.schedule == longest[run.condition]]

    def sweep_runs(self, model: str) -> list[Run]:
        """Runs of conditions with several λ, with the plain fine-tuning that they are measured against.

        Only schedules that were swept count, so that every point was trained equally long.
        """
        runs = self.runs_of(model)
        swept: dict[tuple[str, str], set[str]] = {}
        for run in runs:
            swept.setdefault((run.condition, run.schedule), set()).add(run.lam)
        pairs = {pair for pair, lams in swept.items() if len(lams) > 1}
        schedules = {schedule for _, schedule in pairs}
        plain = {name for name, c in self.config.conditions.items() if c.target == "none"}
        return [
            run
            for run in runs
            if (run.condition, run.schedule) in pairs or (run.condition in plain and run.schedule in schedules)
        ]

    def gap_before(self, model: str) -> str | None:
        """The phase 0 comparison that a model's teacher waits for."""
        return next((name for name, gap in self.config.icl_gap.items() if model in gap.models), None)

    def matched_layers(self) -> dict[str, list[int]]:
        """Layers that any condition matches, for each model, to be checked against the model itself."""
        wanted: dict[str, list[int]] = {}
        for run in self.runs:
            condition = self.config.conditions[run.condition]
            if condition.target == "hidden_states" and condition.layers != "all":
                wanted[run.model] = sorted({*wanted.get(run.model, []), *condition.layers})
        return wanted
