"""Which training runs a configuration asks for, and which of them a figure or table shows."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from .conditions import Condition
from .config import Config
from .grid import DEFAULT, Grid


def lambda_text(lam: float) -> str:
    """Return λ as it is written in paths and names: 0.5, 1, 2."""
    return repr(float(lam)).removesuffix(".0")


class Variant(NamedTuple):
    """How long and with what a run trains: a schedule, a recipe, and a number of training examples (None for all)."""

    schedule: str
    recipe: str = DEFAULT
    train_examples: int | None = None

    @property
    def text(self) -> str:
        """As it is written in paths and tables: `full`, `full@tuned@n500`; names have no @."""
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
        """Return the names of the studies that ask for each run, by its wildcards as text."""
        found: dict[tuple[str, ...], list[str]] = {}
        for name, study in self.config.built.items():
            for run in dict.fromkeys(self._expand(study)):
                found.setdefault(tuple(map(str, run)), []).append(name)
        return found

    def named_runs(self) -> dict[str, list[Run]]:
        """Return runs by the name that people type; a λ that is a whole number may be typed as 1 or as 1.0."""
        groups: dict[str, list[Run]] = {}
        for run in self.runs:
            for lam in {run.lam, str(float(run.lam))}:
                groups.setdefault(f"{run.condition}_{lam}_{run.model}", []).append(run)
        return groups

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
        """Return optimizer steps of a run."""
        return self.config.schedules[self.variants[variant].schedule].max_steps

    def runs_of(self, model: str) -> list[Run]:
        return [run for run in self.runs if run.model == model]

    def default_runs(self, model: str) -> list[Run]:
        """Return runs at each condition's own λ; where the grid doesn't have it, at the first λ above 0."""
        runs = self.runs_of(model)
        chosen: dict[str, str] = {}
        for name in dict.fromkeys(run.condition for run in runs):
            own = lambda_text(self.config.conditions[name].lam)
            lams = [run.lam for run in runs if run.condition == name]
            chosen[name] = min(lams, key=lambda lam, own=own: (lam != own, lam == "0"))
        return [run for run in runs if run.lam == chosen[run.condition]]

    def main_runs(self, model: str) -> list[Run]:
        """Select default runs with each condition's longest schedule, for every recipe and number of examples."""
        runs = self.default_runs(model)
        longest: dict[tuple, str] = {}
        for run in runs:
            best = longest.setdefault(self._compared(run), run.schedule)
            if self.steps(run.schedule) > self.steps(best):
                longest[self._compared(run)] = run.schedule
        return [run for run in runs if run.schedule == longest[self._compared(run)]]

    def _compared(self, run: Run) -> tuple:
        """What runs have in common that differ in how long they were trained, at most."""
        variant = self.variants[run.schedule]
        return run.condition, variant.recipe, variant.train_examples

    def chosen_runs(self, model: str) -> list[Run]:
        """Return the main runs and, where validation chooses λ, those that differ from them in λ alone."""
        main = self.main_runs(model)
        if not self.config.datasets[self.config.dataset].validation:
            return main
        kept = {(run.condition, run.schedule) for run in main}
        return [run for run in self.runs_of(model) if (run.condition, run.schedule) in kept]

    def size_runs(self, model: str) -> list[Run]:
        """Return default runs that differ in their number of training examples, where there are several numbers."""
        runs, sizes = self.default_runs(model), {}
        for run in runs:
            schedule, recipe, examples = self.variants[run.schedule]
            sizes.setdefault((run.condition, schedule, recipe), set()).add(examples)
        several = {key for key, found in sizes.items() if len(found) > 1}
        return [run for run in runs if (run.condition, *self.variants[run.schedule][:2]) in several]

    def gradient_runs(self, model: str) -> list[Run]:
        """Return main runs that log the gradients of cross-entropy and distillation at more than one step."""
        every, conditions = self.config.log_gradients_every, self.config.conditions
        taught = {name for name, one in conditions.items() if one.all_targets and one.cross_entropy}
        main = [run for run in self.main_runs(model) if run.condition in taught and float(run.lam) > 0]
        return [run for run in main if 0 < every < self.steps(run.schedule)]

    def variant_words(self, runs: list[Run]) -> dict[str, dict[str, str]]:
        """Return what distinguishes variants of a condition, by condition and variant; without those that have one."""
        found: dict[str, dict[str, Variant]] = {}
        for run in runs:
            found.setdefault(run.condition, {})[run.schedule] = self.variants[run.schedule]
        return {name: _words(variants) for name, variants in found.items() if len(variants) > 1}

    def sweep_runs(self, model: str) -> list[Run]:
        """Return runs of conditions with several λ, with the plain fine-tuning that they are measured against.

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
        """Return the phase 0 comparison that a model's teacher waits for."""
        return next((name for name, gap in self.config.icl_gap.items() if model in gap.models), None)

    def matched_layers(self) -> dict[str, list[int]]:
        """Return layers that any condition matches, for each model, to be checked against the model itself."""
        wanted: dict[str, list[int]] = {}
        for run in self.runs:
            for target in self.config.conditions[run.condition].all_targets:
                if target.target == "hidden_states" and target.layers != "all":
                    wanted[run.model] = sorted({*wanted.get(run.model, []), *target.layers})
        return wanted

    def adapted_modules(self) -> dict[str, list[str]]:
        """Return linear modules that any run adapts, for each model, to be checked against the model itself."""
        wanted: dict[str, set[str]] = {}
        for model, recipe in {(run.model, self.variants[run.schedule].recipe) for run in self.runs}:
            training = self.config.training[recipe]
            if training.adapter == "lora":
                wanted.setdefault(model, set()).update(training.lora_of(self.config.models[model]).target_modules)
        return {model: sorted(modules) for model, modules in wanted.items()}


def _words(variants: dict[str, Variant]) -> dict[str, str]:
    """For each variant what the others don't all share with it."""
    differ = [name for name in Variant._fields if len({getattr(one, name) for one in variants.values()}) > 1]
    said: dict[str, str] = {}
    for text, variant in variants.items():
        size = "all examples" if variant.train_examples is None else f"{variant.train_examples} examples"
        words = {"schedule": variant.schedule, "recipe": f"recipe {variant.recipe}", "train_examples": size}
        said[text] = ", ".join(words[name] for name in differ)
    return said


def _variants(study: Grid) -> list[Variant]:
    return [Variant(*each) for each in product(study.schedules, study.recipes, study.train_examples or [None])]
