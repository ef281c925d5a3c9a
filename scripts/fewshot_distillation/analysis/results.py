"""What a study measured: right answers by condition, checkpoint, seed and question, and which of them count."""

from typing import Any

import numpy as np
import pandas as pd

from ..config.catalogue import BASE
from ..config.runs import GROUP
from ..config.specs import AggregateSpec, PlotSpec
from .comparison import Answers, difference
from .crossed import pooled_interval

Row = dict[str, Any]
Steps = dict[int | None, int]

# What names a set of results over seeds: a group of runs, or a base model with its prompt.
CELL = [*GROUP, "teacher", "shots"]
# Shares of answers beside those that scorers count as right.
SHARES = ["unparsed", "truncated"]
COUNTS = ["n", "seeds", "correct", "answers", "accuracy", "low", "high"]
# The rules by which a checkpoint may be chosen, as tables name them.
LAST, VALIDATED = "last", "best on validation"


def cell_of(row: Row) -> tuple:
    """Return the name of the result that a row belongs to, whatever its seed and step."""
    return tuple(None if pd.isna(value := row.get(key)) else value for key in CELL)


class Results:
    """Accuracies and judged answers of all runs and base models.

    Args:
        accuracy, judged: tables of all runs and base models, as `collect` reads them.
        spec: of the tables, or of a figure, which shows no shares of scorers.
        gaps: phase 0 summaries.
    """

    def __init__(
        self,
        accuracy: pd.DataFrame,
        judged: pd.DataFrame,
        spec: AggregateSpec | PlotSpec,
        gaps: list[dict] | None = None,
    ) -> None:
        self.labels, self.prompts, self.variants = spec.labels, spec.prompts, spec.variants
        self.confidence, self.scorers = spec.confidence, [*getattr(spec, "scorers", ())]
        self.gaps = gaps or []
        self.rows: dict[str, dict[tuple, dict[tuple, Row]]] = {}
        for row in accuracy.to_dict("records"):
            seed, split = None if pd.isna(row["seed"]) else int(row["seed"]), row.get("split", "test")
            self.rows.setdefault(split, {}).setdefault(cell_of(row), {})[seed, int(row["step"])] = row
        judged = judged.reindex(columns=[*CELL, "seed", "step", "split", "question_index", "correct", "truncated"])
        tested = judged[judged["split"].isna() | (judged["split"] == "test")]
        self._right: dict[tuple, pd.Series] = {}
        self._cut: dict[tuple, np.ndarray] = {}
        for key, part in tested.groupby([*CELL, "seed", "step"], dropna=False, sort=False):
            cell = cell_of(dict(zip(CELL, key, strict=False)))
            seed = None if pd.isna(key[-2]) else int(key[-2])
            part = part.sort_values("question_index")
            self._right[cell, seed, int(key[-1])] = part.set_index("question_index")["correct"]
            self._cut[cell, seed, int(key[-1])] = part["truncated"].eq(True).to_numpy()

    @property
    def cells(self) -> dict[tuple, dict[tuple, Row]]:
        """Results on the test questions: by name, then by seed and step."""
        return self.rows.get("test", {})

    def base(self, model: str) -> list[tuple]:
        """Return base models of this name: those without demonstrations first, then in the order in which they came."""
        named = [cell for cell in self.cells if self.name(cell, "model") == model and self.is_base(cell)]
        return sorted(named, key=lambda cell: self.name(cell, "shots"))

    @staticmethod
    def name(cell: tuple, key: str) -> Any:
        return cell[CELL.index(key)]

    def is_base(self, cell: tuple) -> bool:
        return self.name(cell, "condition") == BASE

    def prompt(self, cell: tuple) -> str:
        """Name the prompt of a base model: its teacher, or its number of shots."""
        teacher = self.name(cell, "teacher")
        return f"{self.name(cell, 'shots'):g}shot" if teacher is None else teacher

    def label(self, cell: tuple) -> str:
        """Return a condition's label, with its variant where it has several, or that of a base model's prompt."""
        if self.is_base(cell):
            return self.prompts.get(self.prompt(cell), self.prompt(cell))
        name = self.name(cell, "condition")
        variant = self.variants.get(name, {}).get(self.name(cell, "schedule"))
        return self.labels.get(name, name) + (f", {variant}" if variant else "")

    def of_prompt(self, model: str, prompt: str | None) -> tuple | None:
        """Find the base model with this prompt, if it was measured."""
        return next((cell for cell in self.base(model) if self.prompt(cell) == prompt), None)

    # --- which runs and checkpoints count --------------------------------------------------------------------------

    def rule(self, cell: tuple) -> str:
        """Return how the checkpoint of each run is chosen."""
        return VALIDATED if cell in self.rows.get("validation", {}) else LAST

    def chosen_steps(self, cell: tuple) -> Steps:
        """Choose each seed's checkpoint: the best on validation questions, the earliest of equals; else the last."""
        if self.rule(cell) == LAST:
            return {seed: max(step for s, step in self.cells[cell] if s == seed) for seed, _ in self.cells[cell]}
        best: Steps = {}
        rows = self.rows["validation"][cell]
        for seed, step in sorted(rows, key=lambda key: key[1]):
            if seed not in best or rows[seed, step]["accuracy"] > rows[seed, best[seed]]["accuracy"]:
                best[seed] = step
        return best

    def chosen_group(self, group: Row) -> tuple:
        """Choose the cell of a group: with the λ that is best on validation questions, or its own without any."""
        own = cell_of(group | {"shots": 0})
        others = [
            cell for cell in self.rows.get("validation", {}) if self._but(cell, "lambda") == self._but(own, "lambda")
        ]
        if not others:
            return own
        rows = self.rows["validation"]
        scores = {
            cell: np.mean([rows[cell][key]["accuracy"] for key in self.chosen_steps(cell).items()]) for cell in others
        }
        return max(sorted(others, key=lambda cell: self.name(cell, "lambda")), key=lambda cell: scores[cell])

    @staticmethod
    def _but(cell: tuple, key: str) -> tuple:
        place = CELL.index(key)
        return (*cell[:place], *cell[place + 1 :])

    def like(self, cell: tuple, **changes: Any) -> tuple | None:
        """Return the cell that differs by these entries, if it was measured."""
        other = cell_of(dict(zip(CELL, cell, strict=True)) | changes)
        return other if other in self.cells else None

    # --- numbers ---------------------------------------------------------------------------------------------------

    def answers(self, cell: tuple, steps: Steps) -> tuple[Answers, pd.Index]:
        """Return right answers of a cell at one step of each seed, and the questions.

        Raises:
            ValueError: seeds answered different questions.
        """
        parts = [self._right[cell, seed, step] for seed, step in steps.items()]
        if any(not part.index.equals(parts[0].index) for part in parts):
            raise ValueError(f"{self.described(cell)}: its seeds answered different questions")
        return Answers(np.stack([part.to_numpy(bool) for part in parts]), not self.is_base(cell)), parts[0].index

    def named(self, cell: tuple) -> Row:
        """Return the entries of a cell by column."""
        return dict(zip(CELL, cell, strict=True))

    def at_step(self, cell: tuple, step: int) -> Steps:
        """Select one step of every seed that has it."""
        return {seed: step for seed, other in self.cells[cell] if other == step}

    def described(self, cell: tuple) -> str:
        return " ".join(str(value) for value in cell[:2])

    def rates(self, cell: tuple, steps: Steps) -> Row:
        """Pool accuracy over seeds and questions, its interval, and shares; columns `COUNTS`, scorers, `SHARES`."""
        rows = [self.cells[cell][key] for key in steps.items()]
        right, _ = self.answers(cell, steps)
        low, high = pooled_interval(right.right, self.confidence)
        correct, answers = int(right.right.sum()), right.right.size
        shares = {name: float(np.mean([row[name] for row in rows])) for name in (*self.scorers, *SHARES)}
        counts = {"n": right.right.shape[1], "seeds": len(steps), "correct": correct, "answers": answers}
        return counts | {"accuracy": correct / answers, "low": low, "high": high} | shares

    def pair(self, cell: tuple, steps: Steps, other: tuple, other_steps: Steps) -> tuple[Answers, Answers]:
        """Return answers of two cells to the same questions.

        Raises:
            ValueError: they answered different questions.
        """
        (ours, asked), (theirs, theirs_asked) = self.answers(cell, steps), self.answers(other, other_steps)
        if not asked.equals(theirs_asked):
            raise ValueError(f"{self.described(cell)}: compared runs answered different questions")
        return ours, theirs

    def from_cut(
        self, cell: tuple, steps: Steps, other: tuple, other_steps: Steps, pair: tuple[Answers, Answers]
    ) -> float:
        """Return how much of a difference comes from questions of which an answer was cut at the length limit.

        Each question's difference counts by the larger share of its answers that were cut on either side.

        Args:
            pair: the answers of both, from `pair`.
        """
        ours, theirs = pair
        sides = [[self._cut[c, *key] for key in chosen.items()] for c, chosen in ((cell, steps), (other, other_steps))]
        cut = np.maximum(*(np.mean(side, axis=0) for side in sides))
        return float(((ours.right.mean(0) - theirs.right.mean(0)) * cut).mean())

    def against(self, name: str, cell: tuple, steps: Steps, other: tuple | None, other_steps: Steps) -> Row:
        """Compute `<name>_difference`, `_low`, `_high` and `_from_cut`; empty without another cell, or for itself."""
        if other is None or other == cell:
            return {}
        pair = self.pair(cell, steps, other, other_steps)
        found = difference(*pair)
        low, high = found.interval(self.confidence)
        cut = self.from_cut(cell, steps, other, other_steps, pair)
        values = {"difference": float(found.value), "low": float(low), "high": float(high), "from_cut": cut}
        return {f"{name}_{column}": value for column, value in values.items()}


def rates(spec: AggregateSpec) -> list[str]:
    """List the columns that `Results.rates` fills."""
    return [*COUNTS, *spec.scorers, *SHARES]


def differences(name: str) -> list[str]:
    """List the columns that `Results.against` fills."""
    return [f"{name}_{column}" for column in ("difference", "low", "high", "from_cut")]
