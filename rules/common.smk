# Configuration, path grammar and the helpers that rules share.
import json
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

HERE = Path(str(workflow.current_basedir)).parent
SCRIPTS = str(HERE / "scripts")
sys.path.insert(0, SCRIPTS)

from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.digests import code_digest
from fewshot_distillation.config.grid import Study
from fewshot_distillation.config.sources import local_files
from fewshot_distillation.config.study import load
from fewshot_distillation.runtime.workspace import remove_finished

# A configuration in the working folder comes before the one beside the Snakefile.
LOCAL_CONFIG = Path("workflow_config.yaml")


configfile: str(LOCAL_CONFIG if LOCAL_CONFIG.exists() else HERE / LOCAL_CONFIG)


try:
    STUDY = Study(load(config))
    STUDY.check_fetched_models(Path(STUDY.config.results) / "models")
except ConfigError as error:
    raise WorkflowError(str(error)) from None


pathvars:
    results=STUDY.config.results,
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",
    weights="<results>/models/{model}",
    data=f"<results>/data/{STUDY.config.dataset}",
    gap="<results>/icl_gap/{phase}/{model}",
    teacher="<results>/teachers/{model}/{teacher}",
    baseline="<results>/baselines/{model}/{shots}shot",
    run="<results>/runs/{model}/{condition}/lambda{lam}/seed{seed}/{schedule}",


def any_of(names):
    return "|".join(re.escape(str(name)) for name in sorted(names)) or "(?!)"


wildcard_constraints:
    model=any_of(STUDY.config.models),
    dataset=any_of([STUDY.config.dataset]),
    phase=any_of(STUDY.config.icl_gap),
    teacher=any_of(STUDY.config.teachers),
    condition=any_of(STUDY.config.conditions),
    schedule=any_of(STUDY.config.schedules),
    lam=any_of({run.lam for run in STUDY.runs}),
    seed=any_of({run.seed for run in STUDY.runs}),
    shots=r"\d+",


# `python` in a rule is the interpreter that runs Snakemake, unless an environment of the rule's own comes before it.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

# Unfinished work of interrupted jobs.
STATE = f"{STUDY.config.results}/.state"



def heavy_threads():
    """Threads of a job that computes with the model: two of them share a machine, which wastes less of it than one
    that uses every core; a cluster's profile says what a job gets there."""
    cores = workflow.resource_settings.cores
    if cores is None:
        return 8
    return max(1, cores // 2) if workflow.is_main_process else cores


HEAVY_THREADS = heavy_threads()

# Settings that no result depends on reach jobs as globals, so that changing them reruns nothing.
TRACKERS = STUDY.config.trackers
SAVE_STATE_EVERY = STUDY.config.save_state_every
MATCHED_LAYERS = json.dumps(STUDY.matched_layers())


def spec_of(job):
    """Parameter function: the resolved spec of a job as JSON."""
    return lambda wildcards: job(**wildcards).model_dump_json(by_alias=True)


def files_of(runs, file):
    """The same file of several runs."""
    return [f"<results>/runs/{r.model}/{r.condition}/lambda{r.lam}/seed{r.seed}/{r.schedule}/{file}" for r in runs]


def baselines_of(model, file):
    return [f"<results>/baselines/{model}/{k}shot/{file}" for k in STUDY.config.baselines.shots]


def gpus(job):
    """Resource function: how many GPUs a model wants for a kind of job."""
    return lambda wildcards: getattr(STUDY.config.models[wildcards.model].gpus, job)
