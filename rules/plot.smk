# Figures. Each reads only the runs that it shows, so one figure can be built without the rest of the study. Its file in
# analysis/figures declares them.

for figure, declared in FIGURES.items():
    of_phase = declared.runs == PHASE_ZERO
    shown = "{phase}" if of_phase else "{model}"
    stem = f"<results>/figures/{figure}_{shown}" if of_phase else f"<results>/figures/{shown}/{figure}"

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
                f"{stem}.png",
                caption="../report/figure.rst",
                category="Figures",
                subcategory="Phase 0" if of_phase else "{model}",
            ),
            pdf=f"{stem}.pdf",
        log:
            f"<logs>/plot_{figure}/{shown}.log",
        benchmark:
            f"<benchmarks>/plot_{figure}/{shown}.tsv"
        conda:
            "../envs/analysis.yaml"
        params:
            scripts=scripts,
            figure=figure,
            caption=lambda wildcards, output, text=caption_of(figure): text,
            spec=spec_of_figure(figure),
            code=code_of("plot.py", f"analysis.figures.{figure}"),
        message:
            "Drawing {params.figure}, {wildcards}"
        shell:
            "python {params.scripts:q}/plot.py --spec {params.spec:q}"
            " --accuracy {input.accuracy:q} --metrics {input.metrics:q} --published {input.published:q}"
            " --png {output.png:q} --pdf {output.pdf:q} 2>&1 | tee {log:q}"
