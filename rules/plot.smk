# Figures. Each reads only the runs that it shows, so one figure can be built without the rest of the study. Its file in
# analysis/figures declares them.

for figure in MODEL_FIGURES:

    rule:
        name:
            f"plot_{figure}"
        input:
            accuracy=accuracy_of_figure(figure, "accuracy.csv"),
            judged=accuracy_of_figure(figure, "judged.parquet"),
            metrics=metrics_of_figure(figure),
            published=published_of_figure(figure),
        output:
            png=report(
                f"<results>/figures/{{model}}/{figure}.png",
                caption="../report/figure.rst",
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
            caption=lambda wildcards, output, text=caption_of(figure): text,
            spec=spec_of_figure(figure),
            code=code_of("plot.py", f"analysis.figures.{figure}"),
        message:
            "Drawing {params.figure} of {wildcards.model}"
        shell:
            "python {params.scripts:q}/plot.py --spec {params.spec:q}"
            " --accuracy {input.accuracy:q} --metrics {input.metrics:q} --published {input.published:q}"
            " --png {output.png:q} --pdf {output.pdf:q} 2>&1 | tee {log:q}"


for figure in PHASE_FIGURES:

    rule:
        name:
            f"plot_{figure}"
        input:
            accuracy=accuracy_of_figure(figure, "accuracy.csv"),
            judged=accuracy_of_figure(figure, "judged.parquet"),
            published=published_of_figure(figure),
        output:
            png=report(
                f"<results>/figures/{figure}_{{phase}}.png",
                caption="../report/figure.rst",
                category="Figures",
                subcategory="Phase 0",
            ),
            pdf=f"<results>/figures/{figure}_{{phase}}.pdf",
        log:
            f"<logs>/plot_{figure}/{{phase}}.log",
        benchmark:
            f"<benchmarks>/plot_{figure}/{{phase}}.tsv"
        conda:
            "../envs/analysis.yaml"
        params:
            scripts=scripts,
            figure=figure,
            caption=lambda wildcards, output, text=caption_of(figure): text,
            spec=spec_of_figure(figure),
            code=code_of("plot.py", f"analysis.figures.{figure}"),
        message:
            "Drawing {params.figure}, phase 0 '{wildcards.phase}'"
        shell:
            "python {params.scripts:q}/plot.py --spec {params.spec:q} --accuracy {input.accuracy:q}"
            " --published {input.published:q} --png {output.png:q} --pdf {output.pdf:q} 2>&1 | tee {log:q}"
