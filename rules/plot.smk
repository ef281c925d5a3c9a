# Figures. Each reads only the runs that it shows, so one figure can be built without the rest of the study.

for figure in MODEL_FIGURES:

    rule:
        name:
            f"plot_{figure}"
        input:
            accuracy=accuracy_of_figure(figure),
            metrics=metrics_of_figure(figure),
            published=published_of_figure(figure),
        output:
            png=report(
                f"<results>/figures/{{model}}/{figure}.png",
                caption=f"../report/{figure}.rst",
                category="Figures",
                subcategory="{model}",
            ),
            pdf=f"<results>/figures/{{model}}/{figure}.pdf",
        log:
            f"<logs>/plot_{figure}/{{model}}.log",
        benchmark:
            f"<benchmarks>/plot_{figure}/{{model}}.tsv"
        conda:
            "../envs/analysis.yaml"
        params:
            scripts=scripts,
            figure=figure,
            spec=spec_of_figure(figure),
            code=code_of("plot.py", f"analysis.figures.{figure}"),
        message:
            "Drawing {params.figure} of {wildcards.model}"
        shell:
            "python {params.scripts:q}/plot.py --spec {params.spec:q}"
            " --accuracy {input.accuracy:q} --metrics {input.metrics:q} --published {input.published:q}"
            " --png {output.png:q} --pdf {output.pdf:q} 2>&1 | tee {log:q}"


rule plot_icl_gap:
    input:
        accuracy=lambda wildcards: answered_in(wildcards.phase, "accuracy.csv"),
        published=published_of_figure("icl_gap"),
    output:
        png=report(
            "<results>/figures/icl_gap_{phase}.png",
            caption="../report/icl_gap.rst",
            category="Figures",
            subcategory="Phase 0",
        ),
        pdf="<results>/figures/icl_gap_{phase}.pdf",
    log:
        "<logs>/plot_icl_gap/{phase}.log",
    benchmark:
        "<benchmarks>/plot_icl_gap/{phase}.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        scripts=scripts,
        spec=lambda wildcards: plot_spec(STUDY, "icl_gap").model_dump_json(),
        code=code_of("plot.py", "analysis.figures.icl_gap"),
    message:
        "Drawing the in-context gap, phase 0 '{wildcards.phase}'"
    shell:
        "python {params.scripts:q}/plot.py --spec {params.spec:q}"
        " --accuracy {input.accuracy:q} --published {input.published:q} --png {output.png:q} --pdf {output.pdf:q}"
        " 2>&1 | tee {log:q}"
