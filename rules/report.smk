# The report: one page that opens anywhere, with the analysis, its figures and every answer.


rule write_report:
    input:
        analysis="<results>/analysis.md",
        summary="<results>/summary.json",
        tables=[f"<results>/tables/{table}.csv" for table in TABLES],
        figures=[path for path in figure_files() if path.endswith(".png")],
        test="<data>/test.jsonl",
        judged=answered("judged.parquet"),
        predictions=answered("predictions.parquet"),
    output:
        "<results>/report.html",
    log:
        "<logs>/write_report.log",
    benchmark:
        "<benchmarks>/write_report.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        scripts=scripts,
        # The report quotes settings on which no result depends, so one that changes doesn't make it stale.
        configuration=lambda wildcards, output: STUDY.config.model_dump_json(by_alias=True),
        spec=lambda wildcards: STUDY.report(figure_captions()).model_dump_json(),
        code=code_of("write_report.py"),
        folders=lambda wildcards, input: [os.path.dirname(path) for path in input.judged],
        results=lambda wildcards, output: os.path.dirname(output[0]),
    message:
        "Writing the report"
    shell:
        # What grows with the number of runs would not fit into a command line.
        "printf %s {params.spec:q} > {log:q}.spec.json; printf '%s\\n' {params.folders:q} > {log:q}.folders.txt; "
        "python {params.scripts:q}/write_report.py --spec @{log:q}.spec.json --folders {log:q}.folders.txt"
        " --configuration {params.configuration:q} --analysis {input.analysis:q} --summary {input.summary:q}"
        " --test {input.test:q} --results {params.results:q} --output {output:q} 2>&1 | tee {log:q}"
