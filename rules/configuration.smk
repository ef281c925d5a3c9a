# The configuration: read and checked here, and handed down to the jobs of a cluster, which keep to it.
import atexit
import functools
import gc
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# A plan is made of millions of objects that stay: looking for garbage among them takes a sixth of its time, and a
# last search at the end another.
gc.set_threshold(200_000, 20, 100)
atexit.register(gc.freeze)

HERE = Path(str(workflow.current_basedir)).parent
SCRIPTS = str(HERE / "scripts")
sys.path.insert(0, SCRIPTS)

from fewshot_distillation.config.analysis import aggregate_spec, analysis_spec, plot_spec
from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.catalogue import questions_text
from fewshot_distillation.config.checks import check_fetched_models, check_launch_files
from fewshot_distillation.config.conditions import QUESTION, REFERENCE
from fewshot_distillation.config.deliverables import CHOSEN, export_spec, exports, report_spec
from fewshot_distillation.config.digests import code_digest, program_digests, rule_digests
from fewshot_distillation.config.load import load
from fewshot_distillation.config.published import load_published
from fewshot_distillation.config.sources import local_files
from fewshot_distillation.config.study import Study
from fewshot_distillation.runtime import plans
from fewshot_distillation.runtime.internals import Internals, untested

if reason := untested("snakemake"):
    raise WorkflowError(reason)
SNAKEMAKE = Internals(workflow)


def own_or_shipped(name):
    """A file in the working folder comes before the one beside the Snakefile."""
    return name if os.path.exists(name) else str(HERE / name)


# Under which name another Snakefile uses this workflow as a module; Snakemake says None where none does.
MODULE = __name__ or ""

# A job of a cluster reads the workflow again when it starts: it keeps to the configuration with which it was submitted,
# and starts only if the code is still the same.
SUBMITTED = None if SNAKEMAKE.is_driver else plans.submitted(MODULE)
if not SUBMITTED:

    configfile: own_or_shipped("workflow_config.yaml")


if SNAKEMAKE.on_cluster:
    os.environ[plans.ON_CLUSTER] = "1"
    SNAKEMAKE.leave_notes_to_driver()
if SUBMITTED:
    plans.refuse(plans.edited(SUBMITTED["rules"], rule_digests()))

try:
    STUDY = Study(load(SUBMITTED["config"] if SUBMITTED else config))
    check_launch_files(STUDY)
    check_fetched_models(STUDY, Path(STUDY.config.results) / "models")
    # The file of published accuracies, if the configuration names one; figures show it where the questions are the same.
    PUBLISHED = [own_or_shipped(name) for name in [STUDY.config.published] if name]
    PUBLISHED_HERE = [path for path in PUBLISHED if load_published(Path(path)).dataset == STUDY.config.dataset]
except ConfigError as error:
    raise WorkflowError(str(error)) from None


# Unfinished work of interrupted jobs, and the drivers' notes.
STATE = f"{STUDY.config.results}/.state"

if SUBMITTED and (reason := plans.replaced(Path(STATE))):
    raise WorkflowError(reason)


def gpus_here():
    """How many GPUs a profile or the command line says that there are for all jobs together; 0 if neither does.

    A job of a cluster doesn't hear of it, so the driver hands it down.
    """
    if SUBMITTED:
        return SUBMITTED["gpus"]
    return SNAKEMAKE.limit("gpu") if SNAKEMAKE.is_driver else 0


GPUS_HERE = gpus_here()

if SNAKEMAKE.is_driver:
    handed_down = {"config": config, "rules": rule_digests(), "code": program_digests(), "gpus": GPUS_HERE}
    plans.hand_down(MODULE, handed_down, Path(STATE))


if STUDY.config.container:

    container: STUDY.config.container
