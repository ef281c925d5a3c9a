"""The printed plan: jobs, FLOPs, hours and disk."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..config.study import GPU_RULES, Study
from .devices import Device, device_of
from .jobs import Job, seconds
from .lengths import Lengths, lengths_of
from .shapes import Shape, shape_of
from .work import Estimator, Work


@dataclass
class Line:
    """All jobs of a rule and a model: `hours` are device hours of all of them, `left` of those that aren't done."""

    rule: str
    model: str
    jobs: int = 0
    done: int = 0
    flops: float = 0.0
    hours: float = 0.0
    left: float = 0.0
    unknown: bool = False
    estimated: float = 0.0  # seconds of done jobs with a benchmark file,
    measured: float = 0.0  # and what those took
    measurements: int = 0

    def calibrate(self) -> None:
        """Take earlier jobs of the same rule and model as the measure of the others."""
        if self.measurements:
            self.hours *= self.factor
            self.left *= self.factor

    @property
    def factor(self) -> float:
        return self.measured / self.estimated if self.measurements else 1.0

    def cells(self) -> list[str]:
        basis = f"x {self.factor:.2g} by {self.measurements} earlier" if self.measurements else "estimated"
        named = [self.rule, self.model, str(self.jobs), str(self.done)]
        if self.unknown:
            return [*named, "?", "?", "?", ""]
        return [*named, _petaflops(self.flops), _hours(self.hours), _hours(self.left), basis]


class Plan:
    """What the jobs of a study take.

    Args:
        results: the results folder.
    """

    def __init__(self, study: Study, jobs: list[Job], results: Path) -> None:
        self.study, self.jobs, self.results = study, jobs, results
        config = study.config
        self.device: Device = device_of(config.plan.device, config.evaluation.backend, config.precision)
        used = dict.fromkeys(job.wildcards["model"] for job in jobs if job.rule in GPU_RULES)
        self.shapes: dict[str, Shape | None] = {
            model: shape_of(config.models[model].source, results / "models" / model) for model in used
        }
        tokenizers = [results / "models" / model / "tokenizer.json" for model in used]
        tokenizer = next((path for path in tokenizers if path.is_file()), Path())
        self.lengths: Lengths | None = lengths_of(study.dataset, results / "data" / config.dataset, tokenizer)
        self.kept: dict[tuple[str, str], int] = {}
        self.lines = self._lines()

    def _work(self, job: Job) -> Work | None:
        shape = self.shapes[job.wildcards["model"]]
        if shape is None or self.lengths is None:
            return None
        spec = getattr(self.study, job.rule)(**job.wildcards)
        return getattr(Estimator(shape, self.lengths), job.rule)(spec)

    def _lines(self) -> list[Line]:
        found: dict[tuple[str, str], Line] = {}
        for job in self.jobs:
            heavy = job.rule in GPU_RULES
            key = (job.rule, job.wildcards["model"]) if heavy else ("scoring, drawing, writing", "")
            key = (job.rule, "") if job.rule.startswith("fetch_") else key
            line = found.setdefault(key, Line(*key))
            line.jobs += 1
            line.done += job.done
            if heavy:
                self._add(line, job)
        lines = sorted(found.values(), key=lambda line: _ORDER.index(line.rule) if line.rule in _ORDER else len(_ORDER))
        for line in lines:
            line.calibrate()
        return lines

    def _add(self, line: Line, job: Job) -> None:
        work = self._work(job)
        if work is None:
            line.unknown = True
            return
        gpus = 1 if self.device.unit == "core" else max(1, self.study.gpus(job.rule, job.wildcards["model"]))
        # The work is shared, but every process starts.
        estimate = self.device.seconds(work) + (gpus - 1) * self.device.start
        line.flops += work.flops
        line.hours += estimate / 3600
        line.left += 0.0 if job.done else estimate / 3600
        if work.kept:
            key = (work.what, job.wildcards["model"])
            self.kept[key] = self.kept.get(key, 0) + work.kept
        took = seconds(job.benchmark, self.device.unit == "core") if job.done and job.benchmark else None
        if took:
            line.estimated += estimate
            line.measured += took if self.device.unit == "core" else took * gpus
            line.measurements += 1

    # --- printing ---------------------------------------------------------------------------------------------------

    def table(self) -> str:
        """Write jobs and hours as a table in Markdown."""
        unit = f"{self.device.unit}-hours"
        head = ["rule", "model", "jobs", "done", "PFLOP", unit, "still to do", "basis"]
        together = Line("together", "", sum(x.jobs for x in self.lines), sum(x.done for x in self.lines))
        for line in self.lines:
            together.flops, together.hours = together.flops + line.flops, together.hours + line.hours
            together.left += line.left
        last = together.cells()
        last[-1] = "without what is unknown" if any(line.unknown for line in self.lines) else ""
        light = [line.cells()[:4] + [""] * 4 if not line.model else line.cells() for line in self.lines]
        return _markdown([head, *light, last], right={2, 3, 4, 5, 6})

    def disk(self) -> str:
        """Write what is kept as a table in Markdown."""
        rows = [["kept", "model", "GB", "of which"]]
        known = {model: shape for model, shape in self.shapes.items() if shape is not None}
        rows += [["weights", model, _gigabytes(shape.bytes), f"in {shape.dtype}"] for model, shape in known.items()]
        for (what, model), size in sorted(self.kept.items()):
            detail = ""
            if what == "activations":
                one = Estimator(self.shapes[model], self.lengths).one_position()
                detail = f"{_gigabytes(one)} for all layers at one position of each training question"
            rows.append([what, model, _gigabytes(size), detail])
        total = sum(self.kept.values()) + sum(shape.bytes for shape in known.values())
        rows.append(["together", "", _gigabytes(total), ""])
        return _markdown(rows, right={2})

    def assumptions(self) -> Iterable[str]:
        """Say what the figures rest on, and what is unknown."""
        yield f"Assumed: {self.device}."
        dataset = self.study.config.dataset
        if self.lengths is None:
            yield f"Dataset '{dataset}': unknown until it is fetched, and with it all that depends on it."
        else:
            rows = ", ".join(f"{count:,} {split}" for split, count in self.lengths.rows.items() if count)
            yield (
                f"Dataset '{dataset}': {rows} rows, {self.lengths.question:.0f} tokens a question and "
                f"{self.lengths.answer:.0f} an answer, {self.lengths.source}."
            )
        unknown = [model for model, shape in self.shapes.items() if shape is None]
        if unknown:
            yield f"Models whose size is unknown until they are fetched: {', '.join(unknown)}."
        if any(line.measurements for line in self.lines):
            yield (
                "Where earlier jobs of the same rule and model left benchmark files, hours are scaled by what those "
                "took (their last attempts) against what was estimated."
            )
        yield "While a cache is assembled, its shards remain, so it temporarily needs twice its size."
        place = next(folder for folder in (self.results, *self.results.resolve().parents) if folder.exists())
        yield f"Free where the results are: {_gigabytes(shutil.disk_usage(place).free)} GB."

    def text(self) -> str:
        return "\n".join([self.table(), "", self.disk(), "", *self.assumptions()])


_ORDER = [
    "fetch_model", "fetch_dataset", "baseline", "rerun", "write_answers", "precompute_activations", "precompute_logits",
    "audit_signal", "train", "eval_checkpoint", "eval_validation",
]  # fmt: skip


def _petaflops(flops: float) -> str:
    return f"{flops / 1e15:.2g}" if flops < 1e16 else f"{flops / 1e15:,.0f}"


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:,.0f}"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2g}" if size < 1e10 else f"{size / 1e9:,.0f}"


def _markdown(rows: list[list[str]], right: set[int]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(cells: list[str]) -> str:
        padded = (c.rjust(w) if n in right else c.ljust(w) for n, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return f"| {' | '.join(padded)} |"

    rule = line([f"{'-' * (w - 1)}:" if n in right else "-" * w for n, w in enumerate(widths)])
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])
