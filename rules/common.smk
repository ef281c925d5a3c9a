# Configuration, path grammar and the helpers that rules share.
import atexit
import functools
import gc
import json
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

from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.catalogue import questions_text
from fewshot_distillation.config.conditions import QUESTION, REFERENCE
from fewshot_distillation.config.digests import code_digest, program_digests, rule_digests
from fewshot_distillation.config.grid import Study
from fewshot_distillation.config.published import load_published
from fewshot_distillation.config.sources import local_files
from fewshot_distillation.config.config import load
from fewshot_distillation.runtime import plans


def own_or_shipped(name):
    """A file in the working folder comes before the one beside the Snakefile."""
    return name if os.path.exists(name) else str(HERE / name)


# Under which name another Snakefile uses this workflow as a module; Snakemake says None where none does.
MODULE = __name__ or ""

# A job of a cluster reads the workflow again when it starts: it keeps to the configuration with which it was submitted,
# and starts only if the code is still the same.
SUBMITTED = None if workflow.is_main_process else plans.submitted(MODULE)
if not SUBMITTED:

    configfile: own_or_shipped("workflow_config.yaml")


if workflow.remote_exec:
    os.environ[plans.ON_CLUSTER] = "1"
if SUBMITTED:
    plans.refuse(plans.edited(SUBMITTED["rules"], rule_digests()))

try:
    STUDY = Study(load(SUBMITTED["config"] if SUBMITTED else config))
    STUDY.check_launch_files()
    STUDY.check_fetched_models(Path(STUDY.config.results) / "models")
    # The file of published accuracies, if the configuration names one; figures show it where the questions are the same.
    PUBLISHED = [own_or_shipped(name) for name in [STUDY.config.published] if name]
    PUBLISHED_HERE = [path for path in PUBLISHED if load_published(Path(path)).dataset == STUDY.config.dataset]
except ConfigError as error:
    raise WorkflowError(str(error)) from None


# Unfinished work of interrupted jobs, and the drivers' notes.
STATE = f"{STUDY.config.results}/.state"

if SUBMITTED:
    if not plans.signed(Path(STATE)):
        raise WorkflowError(
            f"The driver has not taken {STUDY.config.results}. Don't start it with --no-hooks, and in a Snakefile that"
            " uses this workflow as a module, put `onstart` and `onsuccess` before the module."
        )
    if reason := plans.replaced(Path(STATE)):
        raise WorkflowError(reason)


pathvars:
    results=STUDY.config.results,
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",
    weights="<results>/models/{model}",
    data=f"<results>/data/{STUDY.config.dataset}",
    teacher="<results>/teachers/{model}/{teacher}/{text}",
    written="<results>/teachers/{model}/{teacher}/written",
    baseline="<results>/baselines/{model}/{prompt}/{questions}",
    run="<results>/runs/{model}/{condition}/lambda{lam}/seed{seed}/{schedule}",


def any_of(names):
    return "|".join(re.escape(str(name)) for name in sorted(names)) or "(?!)"


wildcard_constraints:
    model=any_of(STUDY.config.models),
    dataset=any_of([STUDY.config.dataset]),
    phase=any_of(STUDY.config.icl_gap),
    teacher=any_of(STUDY.config.teachers),
    text=any_of([QUESTION, REFERENCE, *STUDY.config.teachers]),
    prompt=any_of(STUDY.prompts.all),
    questions=any_of(STUDY.prompts.questions),
    condition=any_of(STUDY.config.conditions),
    schedule=any_of(STUDY.variants),
    lam=any_of({run.lam for run in STUDY.runs}),
    seed=any_of({run.seed for run in STUDY.runs}),


if STUDY.config.container:

    container: STUDY.config.container


# `python` in a rule is the interpreter that runs Snakemake, unless an environment of the rule's own comes before it.
os.environ.update(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")


def heavy_threads():
    """Threads of a job that computes with the model: two of them share a machine, which wastes less of it than one
    that uses every core; a cluster's profile says what a job gets there."""
    cores = workflow.resource_settings.cores
    if cores is None:
        return 8
    return max(1, cores // 2) if workflow.is_main_process else cores


def gpus_here():
    """How many GPUs a profile or the command line says that there are for all jobs together; 0 if neither does.

    A job of a cluster doesn't hear of it, so the driver hands it down.
    """
    if SUBMITTED:
        return SUBMITTED["gpus"]
    limits = dict(workflow.resource_settings.resources.unwrapped_items())
    return limits.get("gpu", 0) if workflow.is_main_process else 0


HEAVY_THREADS, GPUS_HERE = heavy_threads(), gpus_here()

if workflow.is_main_process:
    handed_down = {"config": config, "rules": rule_digests(), "code": program_digests(), "gpus": GPUS_HERE}
    plans.hand_down(MODULE, handed_down)


# The engines that may answer test questions, whose code decides what is stale, and the server that one of them asks.
ENGINES = STUDY.config.evaluation.modules
SERVER = STUDY.config.server.model_dump_json()


@functools.cache
def code_of(program, *modules):
    """Parameter: digest of the code that a job's results depend on; in a job of a cluster, a function that gives it.

    Such a job looks at its own code only, and won't start where that isn't what was submitted.
    """
    if not SUBMITTED:
        return code_digest(program, *modules)

    @functools.cache
    def digest():
        plans.refuse(plans.edited(SUBMITTED["code"], program_digests(program, *modules)))
        return code_digest(program, *modules)

    return lambda wildcards: digest()


def spec_of(job):
    """Parameter function: the resolved spec of a job as JSON."""
    return lambda wildcards: job(**wildcards).model_dump_json(by_alias=True)


def files_of(runs, file):
    """The same file of several runs."""
    return [f"<results>/runs/{r.model}/{r.condition}/lambda{r.lam}/seed{r.seed}/{r.schedule}/{file}" for r in runs]


def when_asked_for(runs, *files):
    """Input function: files of runs, put together for a target that is wanted and not for every one that there is."""
    return lambda wildcards: [path for file in files for path in files_of(runs, file)]


def baseline_files(model, prompts, questions, file):
    """A file of a base model's answers after each of these prompts."""
    which = questions_text(questions)
    return [f"<results>/baselines/{model}/{prompt}/{which}/{file}" for prompt in prompts]


def baselines_of(model, file):
    """A file of each prompt that a base model is evaluated with."""
    prompts = STUDY.prompts.baselines(list(STUDY.trained))
    return baseline_files(model, prompts, STUDY.config.evaluation.questions, file)


def by_model(value):
    """Resource of a model's jobs; a function only where models differ, since Snakemake calls that for every job."""
    values = {model: value(model) for model in STUDY.config.models}
    first, *others = set(values.values())
    return (lambda wildcards: values[wildcards.model]) if others else first


def gpus(rule):
    """Resource: how many GPUs a model's job asks the cluster for; a machine with fewer gives it all that it has."""
    return by_model(lambda model: STUDY.gpus(rule, model, GPUS_HERE))


def program(name, rule=None, **settings):
    """Resource: how a job's program starts on this machine, with the settings that no result depends on.

    It is a resource because changing one reruns nothing, and bears the rule's name because jobs of a group must agree
    in resources that are text. With `rule`, the job is promised the GPUs that the rule gives a model, also at a site
    that knows GPUs only as `gres` and sets `gpu` to 0. A setting is a value, a list of them, or a function of the model.
    """

    def command(model):
        words, processes, own = [f"{SCRIPTS}/{name}"], 1, None
        if rule:
            count = STUDY.gpus(rule, model, GPUS_HERE)
            words += ["--gpus", count]
            processes = count if STUDY.process_per_gpu(rule) else 1
            own = STUDY.config.models[model].accelerate if rule == "train" else None
        for setting, value in settings.items():
            value = value(model) if callable(value) else value
            words += [f"--{setting.replace('_', '-')}", *(value if isinstance(value, list) else [value])]
        return f"{launcher(processes, own)} {shlex.join(map(str, words))}"

    return by_model(command)


def launcher(processes, own):
    """What starts so many processes: accelerate, by a configuration of the model's `own` if there is one."""
    shape = f"--num_machines 1 --num_processes {processes} --main_process_port 0 --mixed_precision no"
    if own is not None:
        return f"accelerate launch --config_file {shlex.quote(own)} {shape}"
    return f"accelerate launch --multi_gpu {shape} --dynamo_backend no" if processes > 1 else "python"


def answered_in(phase, file, models=None):
    """A file of the answers that a phase 0 comparison reads, of every candidate or of some models."""
    gap = STUDY.config.icl_gap[phase]
    prompts = STUDY.prompts.of_gap(gap)
    return [path for m in models or gap.models for path in baseline_files(m, prompts, gap.questions, file)]


def optional(**files):
    """Parameter: arguments for files that some jobs have and others don't."""
    return " ".join(f"--{name} {shlex.quote(str(file))}" for name, file in files.items() if file)


def in_order(first, then):
    """A file that comes first as an order and not as data: what is there isn't stale when the file is made again.

    Snakemake forgets to look whether the outputs of a job are missing where one of its `ancient` inputs is made again,
    so the input is only that while `then`, the output of the job that comes after it, is there.
    """
    return ancient(first) if os.path.exists(then.replace("<results>", STUDY.config.results)) else first


def phase_zero(wildcards):
    """Phase 0 comes before the teacher's targets."""
    phase = STUDY.gap_before(wildcards.model)
    if phase is None:
        return []
    cache = "<results>/teachers/{model}/{teacher}/{text}/activations.safetensors".format(**wildcards)
    return [in_order(path, cache) for path in answered_in(phase, "accuracy.csv", [wildcards.model])]


def caches_of(wildcards):
    """The folder of each target's cache, in the order of a condition's targets."""
    pairs = STUDY.targets(wildcards.condition)
    return [f"<results>/teachers/{wildcards.model}/{target.teacher}/{text}" for target, text in pairs]


def signal_audit(wildcards):
    """What there is to learn is measured before anything is trained."""
    (trained,) = files_of([wildcards], "checkpoints/manifest.json")
    return [in_order(f"{folder}/signal.json", trained) for folder in dict.fromkeys(caches_of(wildcards))]


CACHE_FILES = {
    "hidden_states": ("activations.safetensors", "meta.json"),
    "logits": ("logits.safetensors", "audit.json"),
}


def targets(wildcards):
    """For each target of a condition the teacher's cache, and the file that describes it."""
    pairs = zip(STUDY.targets(wildcards.condition), caches_of(wildcards), strict=True)
    return [f"{folder}/{name}" for (target, _), folder in pairs for name in CACHE_FILES[target.target]]


def written_answers(wildcards):
    """The answers of a teacher that a condition learns from."""
    condition = STUDY.config.conditions[wildcards.condition]
    if condition.answers == REFERENCE:
        return []
    return f"<results>/teachers/{wildcards.model}/{condition.answers}/written/predictions.parquet"


def judged_answers(wildcards):
    """Which of them are right, for a condition that keeps no others."""
    condition = STUDY.config.conditions[wildcards.condition]
    if condition.keep == "all":
        return []
    return f"<results>/teachers/{wildcards.model}/{condition.answers}/written/judged.parquet"


def text_read(wildcards):
    """The answers that a teacher reads behind its prompts, where a teacher wrote them."""
    if wildcards.text in (QUESTION, REFERENCE):
        return []
    return f"<results>/teachers/{wildcards.model}/{wildcards.text}/written/predictions.parquet"


def training_code(wildcards):
    """Parameter function: the code of the trainer and of the losses that the condition uses; others may change."""
    chosen = STUDY.config.conditions[wildcards.condition].all_targets
    return code_of("train.py", *sorted({f"student.losses.{target.target}.{target.loss}" for target in chosen}))
