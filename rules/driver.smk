# The driver's hold on the results folder, and what may pass for done.
from snakemake.persistence import PersistenceBase

from fewshot_distillation.runtime.driver import Driver
from fewshot_distillation.runtime.workspace import remove_finished

DRIVER = Driver(Path(STATE))


def take_results_folder():
    """Two drivers in one results folder would delete each other's outputs. Snakemake's own lock outlives a driver that
    was killed; this one doesn't, so the profiles use it instead."""
    if workflow.non_local_exec and set(f"{os.getcwd()}{HERE}") & set("'\"\\"):
        raise WorkflowError(
            f"Snakemake can't hand '{os.getcwd()}' and '{HERE}' to a cluster's jobs: choose folders without quotes and"
            " backslashes in their names."
        )
    if other := DRIVER.take():
        raise WorkflowError(
            f"Another run is working in {STUDY.config.results} ({other}); wait for it or stop it first."
        )
    atexit.register(DRIVER.release)


def not_done(jobs):
    """Let the next driver do jobs again, whatever lies in the place of their outputs."""
    for job in jobs:
        for one in job.jobs if job.is_group() else [job]:
            if any(os.path.exists(file) for file in one.output):
                workflow.persistence.started(one)


if workflow.remote_exec:
    # Only the driver may call an output done, since it alone writes down with which settings and code it was made. A
    # job of a cluster leaves the notes alone; if its driver is dead by then, the next one lets it put its outputs back.
    async def finished(persistence, job):
        pass

    def cleanup(persistence, job):
        pass

    PersistenceBase.finished, PersistenceBase.cleanup = finished, cleanup


def doubt_failures():
    """Snakemake takes down the new settings also for a job that failed, over outputs of the old ones that it may never
    have touched (refused by sbatch, cancelled in the queue). This takes it back at once: the driver may be killed later.
    So it does for jobs about which Snakemake itself came to grief, a full disk say, and forgot what it knew of them.
    """
    handle = workflow.scheduler._handle_error

    def handle_and_doubt(job, **options):
        handle(job, **options)
        not_done([job])

    workflow.scheduler._handle_error = handle_and_doubt
    atexit.register(lambda: not_done(workflow.scheduler.running))


def keep_asking():
    """Slurm's plugin asks before every look at its jobs how long Slurm remembers them; without an answer it turns to
    sacct, which many sites don't have, and forgets all jobs. The first answer holds for all looks."""
    if plugin := sys.modules.get("snakemake_executor_plugin_slurm"):
        plugin.get_min_job_age = functools.cache(plugin.get_min_job_age)
        plugin.get_min_job_age()


def begin():
    take_results_folder()
    doubt_failures()
    keep_asking()


def end():
    """The workflow has ended well: nothing needs to be remembered but work that the next driver puts back.

    What Snakemake forgot (see `in_order`) must not pass for done.
    """
    wanted = {str(file) for job in workflow.dag.targetjobs for file in (job.output or job.input)}
    if missing := sorted(file for file in wanted if not os.path.exists(file)):
        raise WorkflowError(f"{missing[0]} is not there yet; run the same command again")
    atexit.unregister(DRIVER.release)
    if not any(os.scandir(os.path.join(workflow.persistence.path, "incomplete"))):
        remove_finished(Path(STATE))
    DRIVER.finished()


def also(handler, own):
    """A handler of the Snakefile that uses this one as a module, and then this one's own, which Snakemake passes over."""

    def both(log):
        handler(log)
        own()

    return both


if MODULE:
    workflow._onstart, workflow._onsuccess = also(workflow._onstart, begin), also(workflow._onsuccess, end)
