"""Which files the jobs of a study read and write, by the paths in rules: they begin with `<results>`."""

from collections.abc import Iterable
from typing import Any

from .catalogue import Draw, questions_text
from .conditions import QUESTION, REFERENCE
from .runs import Run
from .study import Study

# The folders that rules name in angle brackets, with their wildcards.
FOLDERS = {
    "weights": "<results>/models/{model}",
    "teacher": "<results>/teachers/{model}/{teacher}/{text}",
    "written": "<results>/teachers/{model}/{teacher}/written",
    "baseline": "<results>/baselines/{model}/{prompt}/{questions}",
    "rerun": "<results>/reruns/{model}/{rerun}/{prompt}",
    "run": "<results>/runs/{model}/{condition}/lambda{lam}/seed{seed}/{schedule}",
    "export": "<results>/export/{model}/{export}",
}
# For each kind of target the teacher's cache, and the file that describes it.
CACHE_FILES = {
    "hidden_states": ("activations.safetensors", "meta.json"),
    "logits": ("logits.safetensors", "audit.json"),
}


def folder_of(name: str, **wildcards: Any) -> str:
    """Return the path of a folder in `FOLDERS`."""
    return FOLDERS[name].format(**wildcards)


class Layout:
    """Files of a study. Methods that take `wildcards`, with a path's names as attributes, are input functions."""

    def __init__(self, study: Study) -> None:
        self.study = study

    # --- files of one name in several folders -------------------------------------------------------------------------

    def runs(self, runs: Iterable[Run], file: str) -> list[str]:
        return [f"{folder_of('run', **run._asdict())}/{file}" for run in runs]

    def _asked(self, model: str, prompts: list[str], questions: int | Draw | None, file: str) -> list[str]:
        which = questions_text(questions)
        return [f"{folder_of('baseline', model=model, prompt=prompt, questions=which)}/{file}" for prompt in prompts]

    def baselines(self, model: str, file: str) -> list[str]:
        """Return a file of each prompt that a base model is evaluated with."""
        prompts = self.study.prompts.baselines(list(self.study.trained))
        return self._asked(model, prompts, self.study.config.evaluation.questions, file)

    def asked_in_phase(self, phase: str, file: str, models: list[str] | None = None) -> list[str]:
        """Return a file of the answers that a phase 0 comparison reads, of every candidate or of some models."""
        gap = self.study.config.icl_gap[phase]
        prompts = self.study.prompts.of_gap(gap)
        return [path for model in models or gap.models for path in self._asked(model, prompts, gap.questions, file)]

    def reruns(self, file: str) -> list[str]:
        """Return a file of every evaluation that is repeated."""
        return [f"{folder_of('rerun', model=m, rerun=rerun, prompt=p)}/{file}" for m, rerun, p in self.study.repeated]

    def teachers(self, file: str) -> list[str]:
        """Return a file of each teacher's cache that a run learns from."""
        caches = self.study.teachers_in_use
        return [f"{folder_of('teacher', model=model, teacher=name, text=text)}/{file}" for model, name, text in caches]

    def answered(self, file: str) -> list[str]:
        """Return a file of every baseline and run in the order in which readers see them: the main comparison first."""
        found: dict[str, None] = {}
        for model in self.study.models:
            first = self.study.main_runs(model) + self.study.sweep_runs(model)
            found |= dict.fromkeys(self.baselines(model, file) + self.runs([*first, *self.study.runs_of(model)], file))
        return list(found)

    # --- what a run learns from ---------------------------------------------------------------------------------------

    def caches(self, wildcards: Any) -> list[str]:
        """Return the folder of each target's cache, in the order of a condition's targets."""
        pairs = self.study.targets(wildcards.condition)
        return [
            folder_of("teacher", model=wildcards.model, teacher=target.teacher, text=text) for target, text in pairs
        ]

    def targets(self, wildcards: Any) -> list[str]:
        """Return the files of each target's cache."""
        pairs = zip(self.study.targets(wildcards.condition), self.caches(wildcards), strict=True)
        return [f"{folder}/{name}" for (target, _), folder in pairs for name in CACHE_FILES[target.target]]

    def written(self, wildcards: Any) -> list[str]:
        """Return the file of the teacher's answers that a condition learns from; none where it learns from others."""
        condition = self.study.config.conditions[wildcards.condition]
        return _answers(wildcards.model, condition.answers, "predictions.parquet")

    def judged(self, wildcards: Any) -> list[str]:
        """Return the file that says which of a teacher's answers are right; none for a condition that keeps all."""
        condition = self.study.config.conditions[wildcards.condition]
        return [] if condition.keep == "all" else _answers(wildcards.model, condition.answers, "judged.parquet")

    def text_read(self, wildcards: Any) -> list[str]:
        """Return the file of the answers that a teacher reads after its prompts; none where no teacher wrote them."""
        return _answers(wildcards.model, wildcards.text, "predictions.parquet")


def _answers(model: str, teacher: str, file: str) -> list[str]:
    """Return the file of a teacher's written answers; none where the dataset's own are read."""
    return [] if teacher in (QUESTION, REFERENCE) else [f"{folder_of('written', model=model, teacher=teacher)}/{file}"]
