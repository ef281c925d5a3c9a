# Where files are: names of folders in rules (`<run>`), the values of wildcards, and the files of runs and baselines.


def any_of(names):
    return "|".join(re.escape(str(name)) for name in sorted(names)) or "(?!)"


ALLOWED = {
    "model": any_of(STUDY.config.models),
    "dataset": any_of([STUDY.config.dataset]),
    "phase": any_of(STUDY.config.icl_gap),
    "teacher": any_of(STUDY.config.teachers),
    "text": any_of([QUESTION, REFERENCE, *STUDY.config.teachers]),
    "prompt": any_of(STUDY.prompts.all),
    "rerun": any_of(STUDY.config.reruns),
    "questions": any_of(STUDY.prompts.questions),
    "condition": any_of(STUDY.config.conditions),
    "schedule": any_of(STUDY.variants),
    "lam": any_of({run.lam for run in STUDY.runs}),
    "seed": any_of({run.seed for run in STUDY.runs}),
}


def constrained(path):
    """Return a path in which every wildcard has its constraint: Snakemake applies the global ones before it expands
    path variables."""
    return re.sub(r"\{(\w+)\}", lambda found: f"{{{found[1]},{ALLOWED[found[1]]}}}", path)


pathvars:
    results=STUDY.config.results,
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",
    weights=constrained("<results>/models/{model}"),
    data=f"<results>/data/{STUDY.config.dataset}",
    teacher=constrained("<results>/teachers/{model}/{teacher}/{text}"),
    written=constrained("<results>/teachers/{model}/{teacher}/written"),
    baseline=constrained("<results>/baselines/{model}/{prompt}/{questions}"),
    rerun=constrained("<results>/reruns/{model}/{rerun}/{prompt}"),
    run=constrained("<results>/runs/{model}/{condition}/lambda{lam}/seed{seed}/{schedule}"),


wildcard_constraints:
    **ALLOWED,


def files_of(runs, file):
    """The same file of several runs."""
    return [f"<results>/runs/{r.model}/{r.condition}/lambda{r.lam}/seed{r.seed}/{r.schedule}/{file}" for r in runs]


def baseline_files(model, prompts, questions, file):
    """A file of a base model's answers after each of these prompts."""
    which = questions_text(questions)
    return [f"<results>/baselines/{model}/{prompt}/{which}/{file}" for prompt in prompts]


def baselines_of(model, file):
    """A file of each prompt that a base model is evaluated with."""
    prompts = STUDY.prompts.baselines(list(STUDY.trained))
    return baseline_files(model, prompts, STUDY.config.evaluation.questions, file)


def reruns_of(file):
    """A file of every evaluation that is repeated."""
    return [f"<results>/reruns/{model}/{rerun}/{prompt}/{file}" for model, rerun, prompt in STUDY.repeated]


def answered_in(phase, file, models=None):
    """A file of the answers that a phase 0 comparison reads, of every candidate or of some models."""
    gap = STUDY.config.icl_gap[phase]
    prompts = STUDY.prompts.of_gap(gap)
    return [path for m in models or gap.models for path in baseline_files(m, prompts, gap.questions, file)]
