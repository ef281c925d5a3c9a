"""Read a configuration: each entry by its class, then the entries against each other."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from ..tasks import task_of
from .base import ConfigError, explain, suggest
from .catalogue import BASE
from .comparisons import wrong_comparisons
from .conditions import QUESTION, REFERENCE
from .config import Config
from .grid import DEFAULT


def load(raw: dict[str, Any]) -> Config:
    """Validate a configuration as YAML gave it.

    Raises:
        ConfigError: one sentence a line with the key, the value and what is allowed.
    """
    try:
        config = Config.model_validate(raw)
        wrong = "\n".join(_inconsistencies(config))
    except ValidationError as error:
        wrong = "\n".join(_without_inherited(explain(error).splitlines(), raw))
    if wrong:
        raise ConfigError(f"The configuration is wrong:\n{wrong}")
    return config


def _without_inherited(lines: list[str], raw: dict[str, Any]) -> list[str]:
    """Leave out what recipes have wrong because they take it from the default one."""
    default = f"training.{DEFAULT}"
    inherited = {line.removeprefix(default) for line in lines if line.startswith(default)}
    if not inherited:
        return lines
    others = [f"training.{name}" for name in raw["training"] if name != DEFAULT]
    return [line for line in lines if not any(line.removeprefix(other) in inherited for other in others)]


def _inconsistencies(config: Config) -> list[str]:
    """List one sentence for each entry that doesn't fit another; names first, since the rest looks them up."""
    if wrong := [*_reserved_names(config), *_unknown_names(config)]:
        return wrong
    checks = (_labels, _warm_ups, _windows, _adapters, _labelled, _pools, _subsets, _scorers, wrong_comparisons)
    return [sentence for check in checks for sentence in check(config)]


def _reserved_names(config: Config) -> Iterator[str]:
    if BASE in config.conditions:
        yield f"conditions: the name '{BASE}' is taken by the base model; choose another"
    for name in (QUESTION, REFERENCE):
        if name in config.teachers:
            yield f"teachers: the name '{name}' is taken by what teachers read; choose another"
    for name in config.training:
        if re.fullmatch(r"n\d+", name):
            yield f"training: the name '{name}' is taken by `train_examples: {name[1:]}` in paths; choose another"


def _unknown_names(config: Config) -> Iterator[str]:
    """Yield names that no catalogue defines, and comparisons of an entry with itself."""
    for where, names, valid in _references(config):
        yield from (f"{where}: unknown name '{name}'; {suggest(name, valid)}" for name in names if name not in valid)
    for family, pairs in config.comparisons.items():
        yield from (
            f"comparisons.{family}: '{ours}' is compared with itself; name two"
            for ours, theirs in pairs
            if ours == theirs
        )


def _references(config: Config) -> Iterator[tuple[str, list[str], Iterable[str]]]:
    """Yield every key that names entries of a catalogue, with the names in it and those that the catalogue has."""
    yield "dataset", [config.dataset], config.datasets
    yield "baselines", config.baselines or [], config.teachers
    yield "build", config.build or [], config.studies
    for name, condition in config.conditions.items():
        for n, target in enumerate(condition.all_targets):
            place = f"targets.{n}." if condition.several else ""
            yield f"conditions.{name}.{place}teacher", [target.teacher], config.teachers
        if condition.answers != REFERENCE:
            yield f"conditions.{name}.answers", [condition.answers], config.teachers
    for name, gap in config.icl_gap.items():
        yield f"icl_gap.{name}.models", gap.models, config.models
        yield f"icl_gap.{name}.teacher", [gap.teacher], config.teachers
    for name, study in config.studies.items():
        yield f"studies.{name}.models", study.models, config.models
        yield f"studies.{name}.conditions", study.conditions, config.conditions
        yield f"studies.{name}.schedules", study.schedules, config.schedules
        yield f"studies.{name}.recipes", study.recipes, config.training
        # An overlay may remove what an optional study that isn't built would build along.
        yield f"studies.{name}.along", study.along if name in config.chosen else [], config.studies
    for family, pairs in config.comparisons.items():
        yield f"comparisons.{family}", [name for pair in pairs for name in pair], config.teachers | config.conditions


def _labels(config: Config) -> Iterator[str]:
    """Yield labels that two conditions share."""
    seen: dict[str, str] = {}
    for name, condition in config.conditions.items():
        if condition.label in seen:
            yield f"conditions.{name}.label: '{condition.label}' is the label of '{seen[condition.label]}' already"
        seen.setdefault(condition.label, name)


def _scorers(config: Config) -> Iterator[str]:
    """Yield scorers that the dataset's task doesn't have, and a metric that isn't scored."""
    task = config.datasets[config.dataset].task
    known = task_of(task).scorers
    for name in config.scorers:
        if name not in known:
            yield f"scorers: the task {task} has no scorer '{name}'; {suggest(name, known)}"
    if len(set(config.scorers)) != len(config.scorers):
        yield f"scorers must not repeat, not {config.scorers}"
    if config.metric not in config.scorers:
        yield f"metric: '{config.metric}' is not among the scorers; {suggest(config.metric, config.scorers)}"


def _warm_ups(config: Config) -> Iterator[str]:
    """Yield schedules that would end during the warm-up."""
    pairs = ((s, r) for study in config.studies.values() for s in study.schedules for r in study.recipes)
    for schedule, recipe in dict.fromkeys(pairs):
        steps, warmup = config.schedules[schedule].max_steps, config.training[recipe].warmup_steps
        if warmup >= steps:
            yield (
                f"training.{recipe}.warmup_steps: {warmup} is not less than max_steps {steps} of schedule '{schedule}'"
            )


def _windows(config: Config) -> Iterator[str]:
    """Yield windows of distillation that begin after the last step of a schedule that they are trained with."""
    runs = ((c, s) for study in config.built.values() for c in study.conditions for s in study.schedules)
    for name, schedule in dict.fromkeys(runs):
        window, steps = config.conditions[name].lambda_steps, config.schedules[schedule].max_steps
        if window and window[0] > steps:
            yield (
                f"conditions.{name}.lambda_steps: expected to begin within the {steps} steps of schedule '{schedule}', "
                f"got {list(window)}, with which nothing is distilled; change it, or train longer"
            )


def _adapters(config: Config) -> Iterator[str]:
    """Yield adapter settings of a model that contradict those of a recipe."""
    for name, model in config.models.items():
        for recipe in config.training.values():
            try:
                recipe.lora_of(model)
            except ValidationError as error:
                yield from (f"models.{name}.lora.{line}" for line in explain(error).splitlines())
                break


def _labelled(config: Config) -> Iterator[str]:
    """Yield uses of labelled examples where `labelled` is not set."""
    if config.labelled is not None:
        return
    for name, teacher in config.teachers.items():
        if teacher.pool == "labelled":
            yield f"teachers.{name}.pool: expected a number in `labelled`, got none; set it"
    for name, condition in config.conditions.items():
        for key in ("examples", "sft_examples"):
            if getattr(condition, key) in ("labelled", "unlabelled"):
                yield f"conditions.{name}.{key}: expected a number in `labelled`, got none; set it"


def _pools(config: Config) -> Iterator[str]:
    """Yield numbers of demonstrations above the number of training examples, where that is known before the fetch."""
    dataset, train = config.datasets[config.dataset], _train_rows(config)
    if train is not None and train < 1:
        rows = train + dataset.validation
        yield f"datasets.{config.dataset}.validation: {dataset.validation} rows can't be set aside of {rows}"
        return
    if train is not None and (config.labelled or 0) > train:
        yield f"labelled: {config.labelled} is more than the {train} training examples"
    wanted = {f"teachers.{name}.shots": (t.shots, t.pool) for name, t in config.teachers.items()}
    for name, gap in config.icl_gap.items():
        teacher = config.teachers[gap.teacher]
        wanted |= {f"icl_gap.{name}.shots": (gap.shots[-1], teacher.pool)}
        if teacher.content == "shuffled_answers" and 1 in gap.shots:
            yield f"icl_gap.{name}.shots: one demonstration has no other's answer (shuffled_answers); take out 1"
    for where, (shots, pool) in wanted.items():
        # One more than the demonstrations, since a training question is never shown itself.
        most = config.labelled if pool == "labelled" else train and train - 1
        if most is not None and shots > most:
            held = config.labelled if pool == "labelled" else train
            yield f"{where}: {shots} demonstrations can't be drawn from {held} training examples"


def _train_rows(config: Config) -> int | None:
    """How many training rows there are at most, None where that isn't known before the fetch."""
    dataset = config.datasets[config.dataset]
    known = [size for size in (getattr(dataset.source, "train", None), dataset.limit_train) if size]
    return min(known) - dataset.validation if known else None


def _subsets(config: Config) -> Iterator[str]:
    """Yield numbers of training examples that a condition hasn't; where rows aren't known yet, the job finds out."""
    train, labelled = _train_rows(config), config.labelled
    most = {"all": train, "labelled": labelled, "unlabelled": train and labelled and train - labelled}
    for study, grid in config.built.items():
        for name in grid.conditions:
            which = config.conditions[name].examples
            for wanted in grid.train_examples or []:
                if most[which] is not None and wanted > most[which]:
                    kind = "" if which == "all" else f"{which} "
                    yield (
                        f"studies.{study}.train_examples: expected at most the {most[which]} {kind}training examples "
                        f"of condition '{name}', got {wanted}; lower it, or take out the condition"
                    )
