"""The tables of the study as data frames. Every run is a row of its own; seeds are never pooled silently."""

from collections.abc import Iterable

import pandas as pd
from statsmodels.stats.multitest import multipletests

from ..config.catalogue import BASE
from .collect import last_step
from .statistics import paired_difference

RUN = ["model", "condition", "lambda", "seed", "schedule"]
COUNTS = ["n", "correct", "accuracy", "low", "high"]
SHARES = ["unparsed", "truncated"]


def result_columns(scorers: Iterable[str]) -> list[str]:
    """Columns of a table of results, with an accuracy for each scorer."""
    return ["label", *RUN, "step", "shots", *COUNTS, *scorers, *SHARES]


class Comparison:
    """Rows of accuracy with what each differs by from other rows on the same questions.

    Args:
        accuracy, judged: tables of all runs and baselines, as `collect` reads them.
        labels: condition names as readers see them.
        plain: the condition without a teacher that the others are measured against, if there is one.
        confidence: coverage of the intervals.
        scorers: scorers whose accuracies are shown side by side.
    """

    def __init__(
        self, accuracy: pd.DataFrame, judged: pd.DataFrame, labels: dict[str, str], plain: str | None,
        confidence: float, scorers: Iterable[str] = ("strict", "flexible"),
    ) -> None:  # fmt: skip
        self.columns = result_columns(scorers)
        self.accuracy, self.labels, self.plain, self.confidence = accuracy, labels, plain, confidence
        keys = judged.assign(seed=judged["seed"].fillna(-1), schedule=judged["schedule"].fillna(""))
        keys["lambda"] = keys["lambda"].fillna(-1.0)
        self.right = {
            key: part.set_index("question_index")["correct"].sort_index()
            for key, part in keys.groupby([*RUN, "step", "shots"])
        }

    def _key(self, row: dict) -> tuple:
        run = (-1.0, -1, "") if row["condition"] == BASE else (row["lambda"], row["seed"], row["schedule"])
        return (row["model"], row["condition"], *run, row["step"], row["shots"])

    def against(self, rows: pd.DataFrame, other: dict | None, name: str, corrected: bool = False) -> pd.DataFrame:
        """Add columns `<name>_difference`, `_low`, `_high`, `_p_value` and `_detectable`; empty without a counterpart.

        `other` overrides entries of a row to name its counterpart; a row that is its own counterpart stays empty.
        What is detectable is stated for one test, or for one of all of these if they are `corrected` together.
        """
        pairs = []
        for row in rows.to_dict("records"):
            mine, others = self._key(row), None if other is None else self._key(row | other)
            theirs = None if mine == others else self.right.get(others)
            if theirs is not None and not self.right[mine].index.equals(theirs.index):
                raise ValueError(f"{row['model']} {row['condition']}: compared runs answered different questions")
            pairs.append(None if theirs is None else (self.right[mine].to_numpy(bool), theirs.to_numpy(bool)))
        tests = sum(pair is not None for pair in pairs) if corrected else 1
        found = [{} if pair is None else paired_difference(*pair, self.confidence, tests) for pair in pairs]
        columns = ["difference", "low", "high", "p_value", "detectable"]
        added = pd.DataFrame(found, columns=columns, index=rows.index).add_prefix(f"{name}_")
        return pd.concat([rows, added], axis=1)

    def against_plain(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Differences from plain fine-tuning of the same model, seed, schedule and step, with Holm's correction."""
        other = None if self.plain is None else {"condition": self.plain, "lambda": 0.0}
        table = self.against(rows, other, "vs_plain", corrected=True)
        tested = table["vs_plain_p_value"].notna()
        table["vs_plain_p_holm"] = None
        if tested.any():
            corrected = multipletests(table.loc[tested, "vs_plain_p_value"].astype(float), method="holm")[1]
            table.loc[tested, "vs_plain_p_holm"] = corrected
        return table

    def labelled(self, rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.copy()
        base = [f"Base · {shots}-shot" if shots == 0 else f"A · {shots}-shot" for shots in rows["shots"]]
        named = [self.labels.get(name, name) for name in rows["condition"]]
        rows.insert(0, "label", [b if c == BASE else n for b, n, c in zip(base, named, rows["condition"], strict=True)])
        return rows

    def _of_runs(self, model: str, runs: set[tuple]) -> pd.DataFrame:
        """The last checkpoint of each of these runs."""
        mine = self.accuracy[self.accuracy["model"] == model]
        return last_step(mine[[tuple(row) in runs for row in mine[RUN].itertuples(index=False)]])

    def main_comparison(self, model: str, runs: set[tuple]) -> pd.DataFrame:
        """Untrained model and every condition at its own λ, at the end of its longest schedule."""
        mine = self.accuracy[self.accuracy["model"] == model]
        base = mine[mine["condition"] == BASE].sort_values("shots")
        order = {name: n for n, name in enumerate(self.labels)}
        final = self._of_runs(model, runs).sort_values(
            ["condition", "seed"], key=lambda column: column.map(order) if column.name == "condition" else column
        )
        rows = self.labelled(pd.concat([base, final], ignore_index=True))[self.columns]
        fewshot = int(base["shots"].max()) if len(base) else 0
        teacher = {"condition": BASE, "lambda": None, "seed": None, "schedule": None, "step": 0, "shots": fewshot}
        rows = self.against(rows, teacher if fewshot else None, "vs_fewshot")
        return self.against_plain(rows)

    def lambda_sweep(self, model: str, runs: set[tuple]) -> pd.DataFrame:
        """The last checkpoint of each run of a sweep."""
        final = self._of_runs(model, runs).sort_values(["condition", "schedule", "seed", "lambda"])
        rows = self.labelled(final)
        return self.against_plain(rows[self.columns].reset_index(drop=True))

    def checkpoint_curve(self, model: str) -> pd.DataFrame:
        """Every checkpoint of every run."""
        mine = self.accuracy[(self.accuracy["model"] == model) & (self.accuracy["condition"] != BASE)]
        rows = self.labelled(mine.sort_values([*RUN, "step"]))
        return self.against_plain(rows[self.columns].reset_index(drop=True))


def icl_gap(summaries: list[dict]) -> pd.DataFrame:
    """Phase 0: one row for each candidate and number of shots."""
    rows = []
    for summary in summaries:
        for model, entry in summary["models"].items():
            for accuracy in entry["accuracy"]:
                rows.append(
                    {
                        "phase": summary["phase"],
                        "model": model,
                        "parameters": entry["parameters"],
                        **accuracy,
                        "gap": entry["gap"],
                        "gap_ok": entry["gap_ok"],
                        "floor_ok": entry["floor_ok"],
                        "recommended": model == summary["recommended"],
                    }
                )
    columns = ["phase", "model", "parameters", "shots", "n", "correct", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "gap", "gap_ok", "floor_ok", "recommended"])
