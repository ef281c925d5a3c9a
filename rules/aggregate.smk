# Tables, the summary and the written analysis.


rule aggregate:
    input:
        accuracy=LAYOUT.answered("accuracy.csv"),
        judged=LAYOUT.answered("judged.parquet"),
        gaps=expand("<results>/icl_gap/{phase}.json", phase=STUDY.config.icl_gap),
        teachers=LAYOUT.teachers("meta.json"),
        signals=LAYOUT.teachers("signal.json"),
        validation=LAYOUT.runs(STUDY.runs, "validation/accuracy.csv") if STUDY.dataset.validation else [],
        metrics=LAYOUT.runs(STUDY.runs, "metrics.csv"),
        published=PUBLISHED,
        checkpoints=LAYOUT.runs(STUDY.runs, "checkpoints/manifest.json"),
        dataset="<data>/meta.json",
        reruns=LAYOUT.reruns("judged.parquet"),
    output:
        summary=report(
            "<results>/summary.json", caption="../report/summary.rst", category="Tables", subcategory="All models"
        ),
        tables=[
            report(
                f"<results>/tables/{table}.csv",
                caption=f"../report/tables/{table}.rst",
                category="Tables",
                subcategory="All models",
            )
            for table in TABLES
        ],
    log:
        "<logs>/aggregate.log",
    benchmark:
        "<benchmarks>/aggregate.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        **job(
            "aggregate.py",
            functools.partial(aggregate_spec, STUDY),
            *(f"analysis.tables.{name}" for name in tables.TABLES),
        ),
        folders=lambda wildcards, input: [os.path.dirname(path) for path in input.accuracy],
    message:
        "Putting all results together"
    shell:
        # What grows with the number of runs would not fit into a command line.
        "printf %s {params.spec:q} > {log:q}.spec.json; printf '%s\\n' {params.folders:q} > {log:q}.folders.txt; "
        "python {params.scripts:q}/aggregate.py --spec @{log:q}.spec.json"
        " --folders {log:q}.folders.txt --gaps {input.gaps:q} --teachers {input.teachers:q}"
        " --signals {input.signals:q} --published {input.published:q} --dataset {input.dataset:q} --reruns {input.reruns:q}"
        " --tables {output.tables:q} --summary {output.summary:q} 2>&1 | tee {log:q}"


rule write_analysis:
    input:
        summary="<results>/summary.json",
        figures=PICTURES,
    output:
        report("<results>/analysis.md", caption="../report/analysis.rst", category="Analysis", subcategory="All models"),
    log:
        "<logs>/write_analysis.log",
    benchmark:
        "<benchmarks>/write_analysis.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        **job("write_analysis.py", lambda: analysis_spec(STUDY, FIGURES.captions)),
        results=lambda wildcards, output: os.path.dirname(output[0]),
    message:
        "Writing the analysis"
    shell:
        "printf %s {params.spec:q} > {log:q}.spec.json; "
        "python {params.scripts:q}/write_analysis.py --spec @{log:q}.spec.json"
        " --summary {input.summary:q} --results {params.results:q} --output {output:q} 2>&1 | tee {log:q}"
