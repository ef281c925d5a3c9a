# Figures. Each reads only the runs that it shows, so one figure can be built without the rest of the study. Its file in
# analysis/figures declares them.

for figure in FIGURES.declared:
    of_phase = FIGURES.of_phase(figure)
    shown = "{phase}" if of_phase else "{model}"
    stem = f"<results>/{FIGURES.stem(figure, shown)}"

    rule:
        name:
            f"plot_{figure}"
        input:
            accuracy=FIGURES.accuracy(figure, "accuracy.csv"),
            judged=FIGURES.accuracy(figure, "judged.parquet"),
            metrics=FIGURES.metrics(figure),
            published=FIGURES.published(figure),
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
            **job("plot.py", functools.partial(FIGURES.spec, figure), f"analysis.figures.{figure}"),
            figure=figure,
            caption=lambda wildcards, output, text=FIGURES.caption(figure): text,
        message:
            "Drawing {params.figure}, {wildcards}"
        shell:
            "python {params.scripts:q}/plot.py --spec {params.spec:q}"
            " --accuracy {input.accuracy:q} --metrics {input.metrics:q} --published {input.published:q}"
            " --png {output.png:q} --pdf {output.pdf:q} 2>&1 | tee {log:q}"
