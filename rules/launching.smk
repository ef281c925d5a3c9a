# How a job's program is started: parameters that results depend on (`spec`, `code`), those that they don't (`scripts`,
# `machine`), threads and GPUs. Snakemake compares a job's parameters with those of the earlier run, except for
# parameters that are derived from inputs, outputs, threads or resources.

# `python` in a rule is the interpreter that runs Snakemake, unless an environment of the rule's own comes before it.
os.environ.update(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")

# The engines that may answer test questions, whose code decides what is stale.
ENGINES = STUDY.config.evaluation.modules


# Threads of a job that computes with the model. On a cluster the profile sets them; on one machine as many jobs share it
# as GPUs may be in use, and at least two, which waste less of it than one that uses every core.
HEAVY_THREADS = SNAKEMAKE.cores or 8
if SNAKEMAKE.is_driver and SNAKEMAKE.cores:
    HEAVY_THREADS = max(1, SNAKEMAKE.cores // max(2, GPUS_HERE))


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


def training_code(wildcards):
    """Parameter function: the code of the trainer and of the losses that the condition uses; others may change."""
    chosen = STUDY.config.conditions[wildcards.condition].all_targets
    return code_of("train.py", *sorted({f"student.losses.{target.target}.{target.loss}" for target in chosen}))


def job(program, spec, *modules, machine=None, code=None):
    """Parameters of a job: `scripts`, the folder of the programs; `spec` and `machine` as JSON; `code`, its digest.

    `spec` makes a job's spec from its wildcards, `modules` are what the program loads by name, `machine` is the rule
    whose settings of the machine the program takes, and `code` replaces the digest where modules depend on wildcards.
    """

    @functools.cache
    def settings(model):
        return STUDY.machine(machine, model, STATE, GPUS_HERE).model_dump_json(exclude_defaults=True)

    return {
        "scripts": lambda wildcards, output: SCRIPTS,
        "spec": lambda wildcards: spec(**wildcards).model_dump_json(by_alias=True),
        "code": code or code_of(program, *modules),
        **({"machine": lambda wildcards, output: settings(wildcards.model)} if machine else {}),
    }


def gpus(rule):
    """Resource: how many GPUs a model's job asks the cluster for; a machine with fewer gives it all that it has.

    It is a function only where models differ, since Snakemake calls that for every job.
    """
    values = {model: STUDY.gpus(rule, model, GPUS_HERE) for model in STUDY.config.models}
    first, *others = set(values.values())
    return (lambda wildcards: values[wildcards.model]) if others else first


def instead_of_plan(wildcards):
    """Parameter function: the command line that Snakemake was started with, for `all`."""
    if "plan" not in sys.argv[1:]:
        raise WorkflowError("Run: snakemake plan")
    return ["all" if word == "plan" else word for word in sys.argv[1:]]
