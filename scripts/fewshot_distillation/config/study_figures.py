"""The figures of a study: their files, what they are drawn from, and their specs."""

import functools
from collections.abc import Callable
from typing import Any

from .analysis import plot_spec
from .base import ConfigError
from .figures import METRICS, PHASE_ZERO, figures
from .layout import Layout
from .runs import Run
from .specs import PlotSpec


class StudyFigures:
    """Every figure that is drawn for a model or for a phase 0 comparison.

    Args:
        published: the file of published accuracies that figures show; none or one.
        of_other_protocols: finds the models whose published accuracies came from another protocol.
    """

    def __init__(self, layout: Layout, published: list[str], of_other_protocols: Callable[[], set[str]]) -> None:
        self.layout, self.study = layout, layout.study
        self.declared = figures()
        self._published, self._of_other_protocols = published, of_other_protocols

    def of_phase(self, figure: str) -> bool:
        """Return whether a figure is drawn for each phase 0 comparison, and not for each model."""
        return self.declared[figure].runs == PHASE_ZERO

    def stem(self, figure: str, shown: str) -> str:
        """Return a figure's path below the results folder; `shown` is a model or a phase 0 comparison."""
        return f"figures/{figure}_{shown}" if self.of_phase(figure) else f"figures/{shown}/{figure}"

    @functools.cached_property
    def captions(self) -> dict[str, str]:
        """Return every figure of the study by its path below the results folder, with its caption."""
        of_phase = {name: self.of_phase(name) for name in self.declared}
        drawn = [(name, phase) for name in self.declared if of_phase[name] for phase in self.study.config.icl_gap]
        for model in self.study.models:
            drawn += [(n, model) for n in self.declared if not of_phase[n] and self.study.runs_of_figure(n, model)]
        return {f"{self.stem(name, shown)}.png": self.caption(name) for name, shown in drawn}

    def caption(self, figure: str) -> str:
        """Return a figure's caption; Snakemake's report shows it, and no result depends on it."""
        rings = " Rings are the published accuracies." if self.published(figure) else ""
        return self.declared[figure].caption + rings

    def files(self, suffix: str) -> list[str]:
        return [f"<results>/{path.removesuffix('png')}{suffix}" for path in self.captions]

    def published(self, figure: str) -> list[str]:
        return self._published if "published" in self.declared[figure].inputs else []

    def runs(self, figure: str, model: str) -> list[Run]:
        """Return the runs of a model that a figure shows.

        Raises:
            ConfigError: there are none.
        """
        if not (runs := self.study.runs_of_figure(figure, model)):
            raise ConfigError(f"figure '{figure}': the configuration has no runs of model '{model}' to show in it")
        return runs

    def accuracy(self, figure: str, file: str) -> Callable[[Any], list[str]]:
        """Return an input function: a file of the answers that a figure shows, of its runs and of the base model."""
        reads = self.declared[figure].inputs

        def inputs(wildcards: Any) -> list[str]:
            if self.of_phase(figure):
                return self.layout.asked_in_phase(wildcards.phase, file)
            baselines = self.layout.baselines(wildcards.model, file) if "baselines" in reads else []
            runs = self.runs(figure, wildcards.model) if "accuracy" in reads else []
            validation = self.layout.runs(runs, f"validation/{file}") if self.study.dataset.validation else []
            return baselines + self.layout.runs(runs, file) + validation

        return inputs

    def metrics(self, figure: str) -> Callable[[Any], list[str]]:
        """Return an input function: metrics.csv of the runs, for figures that show training itself."""
        reads = METRICS in self.declared[figure].inputs
        return lambda wildcards: self.layout.runs(self.runs(figure, wildcards.model), "metrics.csv") if reads else []

    def spec(self, figure: str, **shown: str) -> PlotSpec:
        """Return the spec of a figure, of a `model` or of a phase 0 comparison (`phase`)."""
        models = self.study.config.icl_gap[shown["phase"]].models if "phase" in shown else [shown["model"]]
        apart = bool(self.published(figure)) and not self._of_other_protocols().isdisjoint(models)
        return plot_spec(self.study, figure, **shown, other_protocol=apart)
