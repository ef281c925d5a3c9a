# Tables, the summary and the written analysis.


rule aggregate:
    input:
        accuracy=files_of(STUDY.runs, "accuracy.csv")
        + [f for m in STUDY.models for f in baselines_of(m, "accuracy.csv")],
        judged=files_of(STUDY.runs, "judged.parquet")
        + [f for m in STUDY.models for f in baselines_of(m, "judged.parquet")],
        gaps=expand("<results>/icl_gap/{phase}.json", phase=STUDY.config.icl_gap),
        teachers=teachers_in_use("meta.json"),
        signals=teachers_in_use("signal.json"),
        validation=files_of(STUDY.runs, "validation/accuracy.csv") if STUDY.dataset.validation else [],
        metrics=files_of(STUDY.runs, "metrics.csv"),
        published=PUBLISHED,
        checkpoints=files_of(STUDY.runs, "checkpoints/manifest.json"),
        dataset="<data>/meta.json",
        reruns=reruns_of("judged.parquet"),
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
        scripts=scripts,
        spec=lambda wildcards: aggregate_spec(STUDY).model_dump_json(),
        code=code_of("aggregate.py", *(f"analysis.tables.{table}" for table in tables.TABLES)),
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
        figures=[path for path in figure_files() if path.endswith(".png")],
    output:
        report("<results>/analysis.md", caption="../report/analysis.rst", category="Analysis", subcategory="All models"),
    log:
        "<logs>/write_analysis.log",
    benchmark:
        "<benchmarks>/write_analysis.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        scripts=scripts,
        spec=lambda wildcards: analysis_spec(STUDY, figure_captions()).model_dump_json(),
        code=code_of("write_analysis.py"),
        results=lambda wildcards, output: os.path.dirname(output[0]),
    message:
        "Writing the analysis"
    shell:
        "printf %s {params.spec:q} > {log:q}.spec.json; "
        "python {params.scripts:q}/write_analysis.py --spec @{log:q}.spec.json"
        " --summary {input.summary:q} --results {params.results:q} --output {output:q} 2>&1 | tee {log:q}"
