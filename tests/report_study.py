"""The results of a study that never ran, as large and as hostile as a test of the report wants them."""

import json
import random
import struct
import zlib
from pathlib import Path

import pandas as pd

from fewshot_distillation.analysis.aggregate import TABLES, aggregate
from fewshot_distillation.analysis.costs import costs
from fewshot_distillation.analysis.narrative import write_analysis
from fewshot_distillation.config.specs import AggregateSpec, AnalysisSpec, ReportSpec
from fewshot_distillation.evaluation.scoring import proportion_interval
from fewshot_distillation.report.page import build
from study_tables import LABELS, SCORERS, group

# Each would leave `pwned` behind, or a request, if a browser took it for more than text.
HOSTILE = (
    "</script><script>window.pwned = 'script'</script>",
    "<img src=x onerror=\"window.pwned = 'image'\">",
    "`<svg onload=window.pwned='svg'>` ![x](http://198.51.100.1/x.png) [y](javascript:window.pwned='link')",
)
WORDS = """
    the of and a to in is was that for each there are how many total so then she he has had left apples boxes books
    dollars hours minutes miles pounds cost buys sells gives twice half three more than less
"""

PROMPTS = {"zeroshot": "Base · 0-shot", "fewshot": "A · 8-shot"}


def sentence(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(WORDS.split(), k=words)) + f" {draw.randint(2, 999)}."


class Study:
    """A results folder: `questions` test questions, and runs of three conditions with so many seeds."""

    def __init__(
        self, folder: Path, questions: int = 40, seeds: tuple[int, ...] = (42,), hostile: bool = False,
        labels: dict[str, str] = LABELS, words: int = 60,
    ) -> None:  # fmt: skip
        self.results, self.labels, self.draw = folder, labels, random.Random(7)
        self.words = words
        self.test = [
            {"question": sentence(self.draw, 40), "answer": f"{sentence(self.draw, 30)}\n#### {n}", "reference": str(n)}
            for n in range(questions)
        ]
        if hostile:
            for n, text in enumerate(HOSTILE):
                self.test[n] = {"question": f"{text} How many? {n}", "answer": f"{text}\n#### {n}", "reference": str(n)}
        self.hostile = hostile
        path = self.results / "data" / "problems" / "test.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in self.test))
        self.folders = [self._baseline(shots, share) for shots, share in ((0, 0.1), (8, 0.4))]
        self.runs = [
            ("tiny", name, lam, seed, "short")
            for name, lam in (("sft", 0.0), ("layerwise", 0.5), ("logit_kl", 0.5))
            for seed in seeds
        ]
        self.folders += [self._run(run) for run in self.runs]
        self._jobs()
        self._summary()

    def _answers(self, folder: Path, identity: dict, steps: tuple[int, ...], shots: int, share: float) -> Path:
        folder.mkdir(parents=True)
        judged, predictions, accuracy = [], [], []
        for step in steps:
            right = [self.draw.random() < share * step / steps[-1] if step else self.draw.random() < share
                     for _ in self.test]  # fmt: skip
            for q, row in enumerate(self.test):
                given, cut = (q if right[q] else q + 1), q % 10 == 9
                text = f"{sentence(self.draw, self.words)}\n#### {given}"
                if self.hostile and q < len(HOSTILE):
                    text = f"{HOSTILE[q]} {text}"
                found = None if cut and not right[q] else str(given)
                where = {"question_index": q, "shots": shots, "step": step}
                rates = {"strict": right[q], "flexible": right[q], "unparsed": found is None, "truncated": cut}
                judged.append(where | {"reference": str(q), "strict_answer": found, "flexible_answer": found, **rates,
                                       "tokens": self.words, "correct": right[q], **identity})  # fmt: skip
                predictions.append(where | {"question": row["question"], "text": text, "tokens": self.words})
            k, n = sum(right), len(right)
            low, high = proportion_interval(k, n, 0.95)
            counts = {"step": step, "shots": shots, "n": n, "correct": k, "accuracy": k / n, "low": low, "high": high}
            rates = {"strict": k / n, "flexible": k / n, "unparsed": 0.01, "truncated": 0.02, "mean_tokens": 30.0}
            accuracy.append(identity | counts | rates)
        pd.DataFrame(judged).to_parquet(folder / "judged.parquet", index=False)
        pd.DataFrame(predictions).to_parquet(folder / "predictions.parquet", index=False)
        pd.DataFrame(accuracy).to_csv(folder / "accuracy.csv", index=False)
        return folder

    def _baseline(self, shots: int, share: float) -> Path:
        name = "fewshot" if shots else "zeroshot"
        folder = self.results / "baselines" / "tiny" / name / "all"
        return self._answers(folder, {"model": "tiny", "condition": "base", "teacher": name}, (0,), shots, share)

    def _run(self, run: tuple) -> Path:
        model, condition, lam, seed, schedule = run
        folder = self.results / "runs" / model / condition / f"lambda{lam:g}" / f"seed{seed}" / schedule
        identity = {"model": model, "condition": condition, "lambda": lam, "seed": seed, "schedule": schedule}
        share = {"sft": 0.5, "layerwise": 0.6, "logit_kl": 0.55}[condition]
        self._answers(folder, identity, (3, 6), 0, share)
        rows = [{"step": s, "loss": 2 / s, "ce": 2 / s, "distillation": 4 / s, "lr": 1e-4} for s in range(1, 7)]
        pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)
        return folder

    def _jobs(self) -> None:
        """Logs, benchmark files and a note of what a job was made with."""
        for rule in ("train", "eval_checkpoint"):
            log = self.results / "logs" / rule / "tiny" / "sft-0-42-short.log"
            log.parent.mkdir(parents=True)
            log.write_text(
                f'12:00:00 python /somewhere/{rule}.py --spec \'{{"label": "<b>"}}\'\n'
                "12:00:00 on node n1, GPU numbers 0 (1 requested), torch 2; commit 0123abc\n"
                f"12:00:09 {rule}.py finished in 9.0 s\n"
            )
            benchmark = self.results / "benchmarks" / rule / "tiny" / "sft-0-42-short.tsv"
            benchmark.parent.mkdir(parents=True)
            benchmark.write_text("s\th:m:s\n3600.0\t1:00:00\n")
        note = {"versions": {"python": "3.11", "torch": "2"}, "commit": "0123abc", "host": "n1", "device": "cpu"}
        (self.folders[-1] / "metrics.csv.job.json").write_text(json.dumps(note))

    def _summary(self) -> None:
        outputs = {name: self.results / "tables" / f"{name}.csv" for name in TABLES}
        outputs["summary"] = self.results / "summary.json"
        groups = list(dict.fromkeys((condition, lam) for _, condition, lam, _, _ in self.runs))
        spec = AggregateSpec(
            dataset="problems", validation=0, labels=self.labels, prompts=PROMPTS, conditions={}, plain="sft",
            fewshot="fewshot", main={"tiny": [group(*one) for one in groups]}, sweeps={"tiny": []},
            families={"conditions": [("layerwise", "sft"), ("logit_kl", "sft")]}, margin=0.02, confidence=0.95,
            scorers=SCORERS, metric="strict",
        )  # fmt: skip
        aggregate(spec, self.folders, [], [], [], [], outputs)
        self.figures = {f"figures/tiny/{name}.png": f"Shows {name}." for name in ("main_comparison", "loss_curves")}
        for path in self.figures:
            (self.results / path).parent.mkdir(parents=True, exist_ok=True)
            (self.results / path).write_bytes(png(60, 40))

    def page(self, title: str = "A study", budget: int | None = None) -> str:
        """report.html as its job writes it."""
        summary = json.loads((self.results / "summary.json").read_text())
        spec = AnalysisSpec(figures=self.figures, plain_label=self.labels["sft"])
        analysis = write_analysis(spec, summary, costs(self.results))
        spec = ReportSpec(title=title, figures=self.figures, labels=self.labels, prompts=PROMPTS, templates="")
        test = self.results / "data" / "problems" / "test.jsonl"
        return build(spec, {"dataset": "problems"}, analysis, summary, self.results, self.folders, test)


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
