# The driver's hold on the results folder: its handlers. Snakemake doesn't call them where another Snakefile uses this one
# as a module, so that one does: `onstart: study.onstart()` and `onsuccess: study.onsuccess()`.
from fewshot_distillation.runtime.driver import Driver
from fewshot_distillation.runtime.workspace import remove_finished
from fewshot_distillation.status.plan import write_plan

DRIVER = Driver(Path(STATE))


def begin():
    """Take the results folder: two drivers in one would delete each other's outputs. Snakemake's own lock outlives a
    driver that was killed; this one doesn't, so the profiles use it instead."""
    if SNAKEMAKE.only_looks():
        return
    if reason := untested(SNAKEMAKE.executor) or untested(f"{SNAKEMAKE.executor}-jobstep"):
        raise WorkflowError(reason)
    if SNAKEMAKE.submits and set(f"{os.getcwd()}{HERE}") & set("'\"\\"):
        raise WorkflowError(
            f"Snakemake can't hand '{os.getcwd()}' and '{HERE}' to a cluster's jobs: choose folders without quotes and"
            " backslashes in their names."
        )
    if reason := DRIVER.take():
        raise WorkflowError(reason)
    atexit.register(DRIVER.release)
    write_plan(Path(STUDY.config.results), SNAKEMAKE.jobs(), STUDY.studies_of_runs())
    SNAKEMAKE.doubt_failures()
    SNAKEMAKE.keep_asking_slurm()


def end():
    """The workflow has ended well: nothing needs to be remembered but work that the next driver puts back."""
    if SNAKEMAKE.only_looks():
        return
    if missing := SNAKEMAKE.missing_targets():
        raise WorkflowError(f"{missing[0]} was not produced; run the command again, without --touch")
    atexit.unregister(DRIVER.release)
    remove_finished(Path(STATE), SNAKEMAKE.outputs())
    DRIVER.finished()
