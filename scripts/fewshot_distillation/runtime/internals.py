"""What this workflow uses of Snakemake and of its Slurm plugin beyond their documented interfaces: all of it is here.

It works with the versions in `TESTED`, and others are refused at the start (`untested`).
"""

import atexit
import functools
import gc
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from ..config.base import nearest

TESTED = {
    "snakemake": "9.27.1",
    "snakemake-executor-plugin-slurm": "2.8.0",
    "snakemake-executor-plugin-slurm-jobstep": "0.6.1",
}


def untested(package: str) -> str | None:
    """Say in a sentence that a package isn't the tested version; one that isn't in `TESTED` isn't touched."""
    tested = TESTED.get(package)
    if tested is None or (found := metadata.version(package)) == tested:
        return None
    return (
        f"expected {package} {tested}, got {found}: this workflow relies on internals of the version with which it was "
        f"tested; install it with `pip install {package}=={tested}`"
    )


class Internals:
    """The workflow of a running Snakemake; `workflow` is the global variable of that name in a Snakefile."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow

    # --- What Snakefiles can't ask for otherwise ----------------------------------------------------------------------

    @property
    def is_driver(self) -> bool:
        """Whether a person has started this Snakemake; the others read the workflow again to run one job."""
        return self._workflow.is_main_process

    @property
    def on_cluster(self) -> bool:
        """Whether an executor has sent this Snakemake to a cluster to run one job."""
        return self._workflow.remote_exec

    @property
    def submits(self) -> bool:
        """Whether jobs go to a cluster."""
        return self._workflow.non_local_exec

    @property
    def executor(self) -> str:
        """The package that runs the jobs."""
        return f"snakemake-executor-plugin-{self._workflow.executor_plugin.name}"

    @property
    def cores(self) -> int | None:
        """The value of `--cores`; the documented `workflow.cores` is an error without that option, as on a cluster."""
        return self._workflow.resource_settings.cores

    @property
    def overlays(self) -> dict[str, Any]:
        """What `--configfile` and `--config` say, which Snakemake has merged into the configuration."""
        return self._workflow.config_settings.overwrite_config

    def targets(self, names: Iterable[str]) -> list[str]:
        """Return all targets of the command line where one of these names is among them, else none.

        While the workflow is read, only Snakemake's parser tells a target from the value of an option, as in
        `--quiet all`. It takes 0.2 s to build, so it is asked only where one of the names was written.
        """
        if not (names := set(names)) & set(sys.argv[1:]):
            return []
        from snakemake.cli import get_argument_parser

        found = list(get_argument_parser().parse_known_args(sys.argv[1:])[0].targets or [])
        return found if names & set(found) else []

    def unknown_target(self) -> str | None:
        """Return an error with the nearest name if a target is neither a rule nor a path.

        Snakemake's own error suggests none. Of a Snakefile that includes this one, the rules aren't known yet.
        """
        if Path(sys.argv[0]).stem not in ("snakemake", "__main__") or len(self._workflow.included_stack) > 1:
            return None
        rules = {rule.name: not rule.has_wildcards() for rule in self._workflow.rules}
        unknown = {word for word in sys.argv[1:] if word not in rules and re.fullmatch("[A-Za-z_][^/=]*", word)}
        for target in self.targets(unknown):
            if target in unknown and not any(rule.is_producer(target) for rule in self._workflow.rules):
                hint = f"{nearest(target, filter(rules.get, rules))} `snakemake --list-target-rules` lists all names"
                return f"unknown target '{target}'; {hint.strip()}"
        return None

    def limit(self, resource: str) -> int:
        """Return the limit of a resource in `--resources`; 0 without one."""
        return dict(self._workflow.resource_settings.resources.unwrapped_items()).get(resource, 0)

    def missing_targets(self) -> list[str]:
        """List files that were asked for and aren't there."""
        targets = {str(file) for job in self._workflow.dag.targetjobs for file in (job.output or job.input)}
        return sorted(file for file in targets if not os.path.exists(file))

    def outputs(self) -> set[str]:
        """Return outputs of all jobs that the targets depend on, with those that were up to date."""
        return {str(file) for job in self._workflow.dag.jobs for file in job.output}

    def only_looks(self) -> bool:
        """Return whether the only targets are `status` and `plan`, which have no inputs, outputs or lock."""
        return not any(job.output or job.input for job in self._workflow.dag.targetjobs)

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Return every job that the targets depend on, and whether it is needed or was up to date."""
        for job in self._workflow.dag.jobs:
            if job.output:
                yield {
                    "rule": job.rule.name,
                    "wildcards": dict(job.wildcards_dict),
                    "outputs": list(map(str, job.output)),
                    "log": str(job.log[0]) if job.log else None,
                    "benchmark": str(job.benchmark) if job.benchmark else None,
                    "needed": self._workflow.dag.needrun(job),
                }

    def jobs_as_summary(self) -> None:
        """Have `--summary`, which plans like a run and starts nothing, print `jobs` as a line of JSON."""
        from snakemake.dag import DAG

        async def summary(*_given: Any, **_options: Any) -> AsyncIterator[str]:
            yield json.dumps(list(self.jobs()))

        DAG.summary = summary

    def compare_behind_orders(self) -> None:
        """Have plans compare the parameters and outputs of jobs behind an `ancient` input that will be made again.

        Snakemake expects all behind a job that will run to run as well, so it looks at none of them, and then leaves
        out those behind `ancient` inputs (https://github.com/snakemake/snakemake/issues/4166).
        """
        from snakemake.dag import DAG

        update = DAG.update_needrun

        def behind(depending: dict[Any, dict[Any, Iterable[Any]]], *jobs: Any) -> Iterator[Any]:
            waiting, seen = [*jobs], {*jobs}
            while waiting:
                yield (job := waiting.pop())
                found = {other for other, files in depending[job].items() if not all(f.is_ancient for f in files)}
                waiting += found - seen
                seen |= found

        async def update_needrun(dag: Any, *given: Any, **options: Any) -> None:
            dag.bfs = behind
            try:
                await update(dag, *given, **options)
            finally:
                del dag.bfs

        DAG.update_needrun = update_needrun

    # --- What makes plans of thousands of jobs quick ------------------------------------------------------------------

    def collect_less_garbage(self) -> None:
        """Look for garbage rarely: a plan is made of millions of objects that stay, and a search among them takes a
        sixth of its time, and a last one at the end another."""
        gc.set_threshold(200_000, 20, 100)
        atexit.register(gc.freeze)

    def drop_rule_functions(self, names: dict[str, Any]) -> None:
        """Remove the two functions of each rule that nothing calls by name, as Snakemake copies all global names for
        every text that it formats."""
        for rule in self._workflow.rules:
            names.pop(f"__{rule.name}", None)
            names.pop(f"__rule_{rule.name}", None)

    # --- What has to be otherwise -------------------------------------------------------------------------------------

    def leave_notes_to_driver(self) -> None:
        """Keep a cluster job's Snakemake from noting its outputs as done.

        Only the driver may, since it alone writes down with which settings and code they were made. If it is dead by
        then, the next driver starts the job again, which puts its outputs back. The documented way, a
        `--shared-fs-usage` without `persistence`, doesn't reach the job: slurm-jobstep starts it with all of them.
        Related: https://github.com/snakemake/snakemake/pull/3197 (markers go before records are written).
        """
        from snakemake.persistence import PersistenceBase

        async def finished(persistence: Any, job: Any) -> None:
            pass

        PersistenceBase.finished, PersistenceBase.cleanup = finished, lambda persistence, job: None

    def doubt_failures(self) -> None:
        """Note what a failed job leaves as not done.

        Snakemake records the new settings also for a job that failed, over outputs of the old ones that it may never
        have touched (refused by sbatch, cancelled in the queue): https://github.com/snakemake/snakemake/issues/3808.
        This takes it back at once, as the driver may be killed later, and at the end for jobs about which Snakemake
        failed itself (a full disk, say). `onerror` would come too late.
        """
        scheduler = self._workflow.scheduler
        handle = scheduler._handle_error

        def handle_and_doubt(job: Any, **options: Any) -> None:
            handle(job, **options)
            self._not_done([job])

        scheduler._handle_error = handle_and_doubt
        atexit.register(lambda: self._not_done(scheduler.running))

    def _not_done(self, jobs: Iterable[Any]) -> None:
        for job in jobs:
            for one in job.jobs if job.is_group() else [job]:
                if any(os.path.exists(file) for file in one.output):
                    self._workflow.persistence.started(one)

    def keep_asking_slurm(self) -> None:
        """Keep to squeue while Slurm's controller is away.

        The plugin asks `scontrol` before every look at its jobs how long Slurm remembers them; without an answer it
        turns to sacct, which many sites don't have, for as many attempts as the profile allows. No option prevents it,
        and no issue upstream is known. The first answer holds for all looks.
        """
        if plugin := sys.modules.get("snakemake_executor_plugin_slurm"):
            plugin.get_min_job_age = functools.cache(plugin.get_min_job_age)
            plugin.get_min_job_age()
