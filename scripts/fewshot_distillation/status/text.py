"""The status in words and numbers, for a terminal."""

import time
from collections import Counter

from .states import Job, Status

STATES = ("done", "running", "waiting", "failed", "stopped")
# Lines of running and of failed jobs that are shown.
SHOWN = 40


def described(status: Status) -> str:
    """Describe who works, how far each study of each model is, what runs, what failed, and how long it takes."""
    counts = Counter(job.state for job in status.jobs)
    lines = [_driver(status), "", *_table(status.jobs)]
    for state, title in (("running", "Running"), ("failed", "Failed"), ("stopped", "Stopped")):
        mine = [job for job in status.jobs if job.state == state]
        if mine:
            lines += ["", title, *(f"  {_line(job)}" for job in mine[:SHOWN])]
            lines += [f"  and {len(mine) - SHOWN} more"] if len(mine) > SHOWN else []
    queued = Counter(job.note.rpartition(", ")[2] for job in status.jobs if job.state == "waiting" and job.note)
    if queued:
        lines += ["", "In Slurm's queue: " + ", ".join(f"{count} {state}" for state, count in queued.items())]
    if counts["waiting"] or counts["running"]:
        lines += ["", _left(status.jobs)]
    return "\n".join(lines)


def _driver(status: Status) -> str:
    if status.driver:
        return f"A driver is running: {status.driver}, for {duration(time.time() - status.since)}."
    undone = any(job.state != "done" for job in status.jobs)
    return "No driver is running; type the command again to continue." if undone else "Everything is done."


def _table(jobs: list[Job]) -> list[str]:
    """A line for each group of jobs of each model, with how many are in which state."""
    groups: dict[tuple[str, str], Counter] = {}
    for job in jobs:
        for group in _groups(job):
            groups.setdefault((job.planned.wildcards.get("model", "all models"), group), Counter())[job.state] += 1
    shown = [
        state for state in STATES if state in ("done", "running", "waiting") or any(c[state] for c in groups.values())
    ]
    models = list(dict.fromkeys(model for model, _ in groups if model != "all models")) + ["all models"]
    width = max([len(model) for model in models] + [len(group) + 2 for _, group in groups])
    lines = [" " * width + "".join(f"{state:>9}" for state in shown) + "   of all"]
    for model in models:
        mine = {group: counts for (owner, group), counts in groups.items() if owner == model}
        lines += [model] if mine else []
        for group, counts in mine.items():
            numbers = "".join(f"{counts[state] or '':>9}" for state in shown)
            lines.append(f"  {group:<{width - 2}}{numbers}{counts.total():>9}")
    total = Counter(job.state for job in jobs)
    return [*lines, f"{'together':<{width}}{''.join(f'{total[state]:>9}' for state in shown)}{total.total():>9}"]


def _groups(job: Job) -> list[str]:
    """What a job belongs to: a run to all studies that ask for it."""
    planned = job.planned
    if planned.studies:
        return [f"study {name}" for name in planned.studies]
    if "phase" in planned.wildcards or planned.rule.endswith("summarise_icl_gap"):
        return ["phase 0"]
    if "baseline" in planned.rule or "rerun" in planned.wildcards:
        return ["base model"]
    if "teacher" in planned.wildcards:
        return ["teachers"]
    return ["model and data"] if "fetch_" in planned.rule else ["tables and figures"]


def _line(job: Job) -> str:
    words = [job.planned.rule, *job.planned.wildcards.values()]
    tail = job.tail
    if job.state == "running" and tail is not None and tail.done is not None:
        words.append(f"| {tail.what}: {tail.done} of {tail.total}, {tail.rate}")
    if job.state == "running":
        words.append(f"| {_about(job.left_s)}" if job.left_s is not None else "")
        words.append(f"| on {tail.place}" if tail is not None and tail.place else "")
    return " ".join(word for word in [*words, f"| {job.note}" if job.note else ""] if word)


def _left(jobs: list[Job]) -> str:
    """How long the rest takes if as many jobs go on at a time as now."""
    running = [job for job in jobs if job.state == "running"]
    rest = [*running, *(job for job in jobs if job.state == "waiting")]
    known = [job.left_s for job in rest if job.left_s is not None]
    unknown = len(rest) - len(known)
    at_a_time = max(1, len(running))
    if not known:
        return "Time left: unknown until the first jobs of each kind have ended."
    seconds = max(sum(known) / at_a_time, max((job.left_s or 0.0 for job in running), default=0.0))
    jobs = "one job of a kind" if unknown == 1 else f"{unknown} jobs of kinds"
    more = f", besides {jobs} of which none has ended yet" if unknown else ""
    return f"Time left: {_about(seconds)} with {at_a_time} at a time{more}."


def _about(seconds: float) -> str:
    return f"about {duration(seconds)}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes >= 5 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
