"""Which training runs a configuration asks for, and which of them a figure or table shows."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from .conditions import Condition
from .config import Config
from .grid import DEFAULT, Grid


def lambda_text(lam: float) -> str:
    """λ as it stands in paths and names: 0.5, 1, 2."""
    return repr(float(lam)).removesuffix(".0")


class Variant(NamedTuple):
    """How long and with what a run trains: a schedule, a recipe, and a number of training examples (None for all)."""

    schedule: str
    recipe: str = DEFAULT
    train_examples: int | None = None

    @property
    def text(self) -> str:
        """As it stands in paths and tables: `full`, `full@tuned@n500`; names hold no @."""
        recipe = "" if self.recipe == DEFAULT else f"@{self.recipe}"
        return self.schedule + recipe + ("" if self.train_examples is None else f"@n{self.train_examples}")


class Run(NamedTuple):
    """One training run; the fields are the wildcards of its folder, `schedule` as `Variant.text` writes it."""

    model: str
    condition: str
    lam: str
    seed: int
    schedule: str

    @property
    def group(self) -> dict[str, str | float]:
        """Name the run as rows of tables do, but for its seed: runs that differ in nothing else are pooled."""
        fields = self._asdict() | {"lambda": float(self.lam)}
        return {name: fields[name] for name in GROUP}


# Columns that name runs which differ in nothing but their seeds, and those that name one run.
GROUP = ["model", "condition", "lambda", "schedule"]
RUN = ["model", "condition", "lambda", "seed", "schedule"]


class Runs:
    """All runs that the configuration asks for."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.variants = {variant.text: variant for study in config.built.values() for variant in _variants(study)}
        self.runs = list(dict.fromkeys(run for study in config.built.values() for run in self._expand(study)))

    def _expand(self, study: Grid) -> Iterator[Run]:
        config = self.config
        for model, variant, name in product(study.models, _variants(study), study.conditions):
            condition = config.conditions[name]
            own = not condition.all_targets or study.lambdas is None
            for lam in [condition.lam] if own else study.lambdas:
                for seed in study.seeds or config.seeds:
                    yield Run(model, name, lambda_text(lam), seed, variant.text)

    def studies_of_runs(self) -> dict[tuple[str, ...], list[str]]:
        """The names of the studies that ask for each run, by its wildcards as text."""
        found: dict[tuple[str, ...], list[str]] = {}
        for name, study in self.config.built.items():
            for run in dict.fromkeys(self._expand(study)):
                found.setdefault(tuple(map(str, run)), []).append(name)
        return found

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

    def steps(self, variant: str) -> int:
        """Optimizer steps of a run."""
        return self.config.schedules[self.variants[variant].schedule].max_steps

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
        """Of the default runs those with each condition's longest schedule, and of these those with most examples."""
        runs = self.default_runs(model)
        longest: dict[str, str] = {}
        for run in runs:
            best = longest.setdefault(run.condition, run.schedule)
            if self._size(run.schedule) > self._size(best):
                longest[run.condition] = run.schedule
        return [run for run in runs if run.schedule == longest[run.condition]]

    def _size(self, variant: str) -> tuple[int, float]:
        """Steps and training examples of a variant; all of them are more than any number."""
        examples = self.variants[variant].train_examples
        return self.steps(variant), float("inf") if examples is None else examples

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
        plain = {name for name, c in self.config.conditions.items() if not c.all_targets}
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
            for target in self.config.conditions[run.condition].all_targets:
                if target.target == "hidden_states" and target.layers != "all":
                    wanted[run.model] = sorted({*wanted.get(run.model, []), *target.layers})
        return wanted

    def adapted_modules(self) -> dict[str, list[str]]:
        """Linear modules that any run adapts, for each model, to be checked against the model itself."""
        wanted: dict[str, set[str]] = {}
        for model, recipe in {(run.model, self.variants[run.schedule].recipe) for run in self.runs}:
            training = self.config.training[recipe]
            if training.adapter == "lora":
                wanted.setdefault(model, set()).update(training.lora_of(self.config.models[model]).target_modules)
        return {model: sorted(modules) for model, modules in wanted.items()}


def _variants(study: Grid) -> list[Variant]:
    return [Variant(*each) for each in product(study.schedules, study.recipes, study.train_examples or [None])]
