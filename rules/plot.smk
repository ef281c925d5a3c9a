# Figures. Each reads only the runs that it shows, so one figure can be built without the rest of the study.


def runs_of_figure(figure, model):
    return STUDY.sweep_runs(model) if figure == "lambda_sweep" else STUDY.default_runs(model)


def accuracy_of_figure(figure, model):
    baselines = [] if figure == "lambda_sweep" else baselines_of(model, "accuracy.csv")
    return baselines + files_of(runs_of_figure(figure, model), "accuracy.csv")


CAPTIONS = {
    "main_comparison": "Accuracy of the untrained model and of every condition at the end of training.",
    "accuracy_curve": "Accuracy at every checkpoint; dashed lines are the untrained model.",
    "lambda_sweep": "Accuracy at the end of training against the weight λ; the dashed line is plain fine-tuning.",
    "loss_curves": "Cross-entropy on the answers, and the weighted distillation loss on a logarithmic scale.",
    "icl_gap": "Accuracy of the untrained candidates against the number of demonstrations in the prompt.",
}


def figures_of(model):
    return [name for name in CAPTIONS if name != "icl_gap" and (name != "lambda_sweep" or STUDY.sweep_runs(model))]


def figure_captions():
    """Every figure of the study, as a path below the results folder without ending, and its caption."""
    captions = {f"figures/icl_gap_{phase}.png": CAPTIONS["icl_gap"] for phase in STUDY.config.icl_gap}
    for model in STUDY.models:
        captions |= {f"figures/{model}/{name}.png": CAPTIONS[name] for name in figures_of(model)}
    return captions


def figure_files():
    paths = [f"<results>/{path}" for path in figure_captions()]
    return paths + [path.removesuffix("png") + "pdf" for path in paths]


for figure in (name for name in CAPTIONS if name != "icl_gap"):

    rule:
        name:
            f"plot_{figure}"
        message:
            "Drawing {params.figure} of {wildcards.model}"
        input:
            accuracy=lambda wildcards, f=figure: [] if f == "loss_curves" else accuracy_of_figure(f, wildcards.model),
            metrics=lambda wildcards, f=figure: files_of(runs_of_figure(f, wildcards.model), "metrics.csv")
            if f == "loss_curves"
            else [],
        output:
            png=report(
                f"<results>/figures/{{model}}/{figure}.png",
                caption=f"../report/{figure}.rst",
                category="Figures",
                subcategory="{model}",
            ),
            pdf=f"<results>/figures/{{model}}/{figure}.pdf",
        params:
            figure=figure,
            spec=lambda wildcards, f=figure: STUDY.plot(f, wildcards.model).model_dump_json(),
            code=code_digest("plot.py", f"analysis.figures.{figure}"),
        log:
            f"<logs>/plot_{figure}/{{model}}.log",
        benchmark:
            f"<benchmarks>/plot_{figure}/{{model}}.tsv"
        conda:
            "../envs/analysis.yaml"
        shell:
            "python {SCRIPTS:q}/plot.py --spec {params.spec:q} --accuracy {input.accuracy:q} --metrics {input.metrics:q}"
            " --png {output.png:q} --pdf {output.pdf:q} 2>&1 | tee {log:q}"


rule plot_icl_gap:
    message:
        "Drawing the in-context gap, phase 0 '{wildcards.phase}'"
    input:
        lambda wildcards: candidates(wildcards.phase, "<results>/icl_gap/{phase}/{model}/accuracy.csv"),
    output:
        png=report(
            "<results>/figures/icl_gap_{phase}.png",
            caption="../report/icl_gap.rst",
            category="Figures",
            subcategory="Phase 0",
        ),
        pdf="<results>/figures/icl_gap_{phase}.pdf",
    params:
        spec=lambda wildcards: STUDY.plot("icl_gap").model_dump_json(),
        code=code_digest("plot.py", "analysis.figures.icl_gap"),
    log:
        "<logs>/plot_icl_gap/{phase}.log",
    benchmark:
        "<benchmarks>/plot_icl_gap/{phase}.tsv"
    conda:
        "../envs/analysis.yaml"
    shell:
        "python {SCRIPTS:q}/plot.py --spec {params.spec:q} --accuracy {input:q} --png {output.png:q} --pdf {output.pdf:q}"
        " 2>&1 | tee {log:q}"
