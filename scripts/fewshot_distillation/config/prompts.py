"""The prompts with which the base model answers test questions: those of teachers, also with other numbers of shots."""

from .catalogue import Draw, questions_text
from .conditions import REFERENCE, Teacher
from .config import ZEROSHOT, Config
from .icl_gap import IclGap


class Prompts:
    """Every prompt by name, and who asks for it.

    Phase 0 shows a teacher's prompt with several numbers of shots. Where that is a teacher of its own, it has that
    name, so that nothing is answered twice; else it is called `<teacher>@<k>shot`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.all: dict[str, Teacher] = dict(config.teachers)
        for gap in config.icl_gap.values():
            for shots in gap.shots:
                name = self._named(gap.teacher, shots)
                self.all.setdefault(name, self._with_shots(gap.teacher, shots))
        asked = [config.evaluation.questions, *(gap.questions for gap in config.icl_gap.values())]
        # Which questions are asked, by their text in paths.
        self.questions: dict[str, int | Draw | None] = {questions_text(which): which for which in asked}

    @property
    def labels(self) -> dict[str, str]:
        """What readers see in the place of each prompt's name."""
        return {name: teacher.shown_as for name, teacher in self.all.items()}

    def baselines(self, trained: list[str]) -> list[str]:
        """Return prompts that the base model is evaluated with.

        Args:
            trained: names of the conditions that are trained; their teachers count where the configuration names none.
        """
        if self.config.baselines is not None:
            return self.config.baselines
        chosen = [self.config.conditions[name] for name in trained]
        taught = [target.teacher for condition in chosen for target in condition.all_targets]
        wrote = [condition.answers for condition in chosen if condition.answers != REFERENCE]
        return list(dict.fromkeys([ZEROSHOT, *taught, *map(self._greedy, wrote)]))

    def _greedy(self, name: str) -> str:
        """A teacher with the same prompt whose answers aren't drawn, so that nothing is answered twice."""
        if self.config.teachers[name].sampling is None:
            return name
        wanted = self.config.teachers[name].greedy.model_copy(update={"label": None})
        same = (k for k, other in self.config.teachers.items() if other.model_copy(update={"label": None}) == wanted)
        return next(same, name)

    def of_gap(self, gap: IclGap) -> list[str]:
        """Return prompts of a phase 0 comparison, by ascending shots."""
        return [self._named(gap.teacher, shots) for shots in gap.shots]

    def _with_shots(self, teacher: str, shots: int) -> Teacher:
        return self.config.teachers[teacher].model_copy(update={"shots": shots, "label": None})

    def _named(self, teacher: str, shots: int) -> str:
        if shots == 0:
            return ZEROSHOT
        wanted = self._with_shots(teacher, shots)
        for name, other in self.config.teachers.items():
            if other.model_copy(update={"label": None}) == wanted:
                return name
        return f"{teacher}@{shots}shot"
