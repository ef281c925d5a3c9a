# The configuration: read and checked here, and handed down to the jobs of a cluster, which keep to it.
import atexit
import functools
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

HERE = Path(str(workflow.current_basedir)).parent
SCRIPTS = str(HERE / "scripts")
sys.path.insert(0, SCRIPTS)

from fewshot_distillation.analysis import tables
from fewshot_distillation.analysis.protocols import models_apart
from fewshot_distillation.config.analysis import aggregate_spec, analysis_spec
from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.chosen_study import optional_studies, with_settings
from fewshot_distillation.config.checks import check
from fewshot_distillation.config.conditions import QUESTION, REFERENCE
from fewshot_distillation.config.deliverables import export_name, export_spec, exports, report_spec
from fewshot_distillation.config.digests import code_digest, program_digests, rule_digests
from fewshot_distillation.config.load import load
from fewshot_distillation.config.own_protocol import own_protocol
from fewshot_distillation.config.published import load_published
from fewshot_distillation.config.sources import local_files
from fewshot_distillation.config.study import Study
from fewshot_distillation.hardware.gpus import ON_CLUSTER
from fewshot_distillation.runtime import plans
from fewshot_distillation.runtime.internals import Internals, untested

if reason := untested("snakemake"):
    raise WorkflowError(reason)
SNAKEMAKE = Internals(workflow)
SNAKEMAKE.collect_less_garbage()
SNAKEMAKE.compare_behind_orders()


def own_or_shipped(name):
    """A file in the working folder comes before the one beside the Snakefile."""
    return name if os.path.exists(name) else str(HERE / name)


# Under which name another Snakefile uses this workflow as a module; Snakemake gives None where none does.
MODULE = __name__ or ""

# A job of a cluster reads the workflow again when it starts: it keeps to the configuration with which it was submitted,
# and starts only if the code is still the same.
SUBMITTED = None if SNAKEMAKE.is_driver else plans.submitted(MODULE)
if not SUBMITTED:

    configfile: own_or_shipped("workflow_config.yaml")


if SNAKEMAKE.on_cluster:
    os.environ[ON_CLUSTER] = "1"
    SNAKEMAKE.leave_notes_to_driver()
if SUBMITTED:
    plans.refuse(plans.edited(SUBMITTED["rules"], rule_digests()))

try:
    if SNAKEMAKE.is_driver:
        # An optional study may be named as a target, and may bring settings of its own.
        named = SNAKEMAKE.targets(optional_studies(config))
        config.update(with_settings(config, named, {} if MODULE else SNAKEMAKE.overlays))
    STUDY = Study(load(SUBMITTED["config"] if SUBMITTED else config))
    check(STUDY)
    # The file of published accuracies, if the configuration names one; figures show it where the questions are the same.
    PUBLISHED = [own_or_shipped(name) for name in [STUDY.config.published] if name]
    ACCURACIES = {path: load_published(Path(path)) for path in PUBLISHED}
    PUBLISHED_HERE = [path for path in PUBLISHED if ACCURACIES[path].dataset == STUDY.config.dataset]
except ConfigError as error:
    raise WorkflowError(str(error)) from None


# Unfinished work of interrupted jobs, and the drivers' notes.
STATE = f"{STUDY.config.results}/.state"

if SUBMITTED and (reason := plans.replaced(Path(STATE))):
    raise WorkflowError(reason)


# The limit of GPUs for all jobs together; 0 without one. A job of a cluster doesn't see it, so the driver hands it down.
GPUS_HERE = SUBMITTED["gpus"] if SUBMITTED else SNAKEMAKE.limit("gpu") if SNAKEMAKE.is_driver else 0

if SNAKEMAKE.is_driver:
    handed_down = {"config": config, "rules": rule_digests(), "code": program_digests(), "gpus": GPUS_HERE}
    plans.hand_down(MODULE, handed_down, Path(STATE))


if STUDY.config.container:

    container: STUDY.config.container
