# What a study hands over: the report, one page that opens anywhere, and exported models.


rule write_report:
    input:
        analysis="<results>/analysis.md",
        summary="<results>/summary.json",
        tables=[f"<results>/tables/{table}.csv" for table in TABLES],
        figures=PICTURES,
        test="<data>/test.jsonl",
        judged=LAYOUT.answered("judged.parquet"),
        predictions=LAYOUT.answered("predictions.parquet"),
    output:
        "<results>/report.html",
    log:
        "<logs>/write_report.log",
    benchmark:
        "<benchmarks>/write_report.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        **job("write_report.py", lambda: report_spec(STUDY, FIGURES.captions)),
        # The report quotes settings on which no result depends, so one that changes doesn't make it stale.
        configuration=lambda wildcards, output: STUDY.config.model_dump_json(by_alias=True),
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


rule export:
    input:
        model="<weights>/manifest.json",
        runs=runs_to_export("accuracy.csv"),
        checkpoints=runs_to_export("checkpoints/manifest.json"),
        validation=runs_to_export("validation/accuracy.csv") if STUDY.dataset.validation else [],
        baselines=lambda wildcards: LAYOUT.baselines(wildcards.model, "accuracy.csv"),
        plain=plain_runs,
    output:
        "<export>/manifest.json",
    log:
        "<logs>/export/{model}/{export}.log",
    benchmark:
        "<benchmarks>/export/{model}/{export}.tsv"
    conda:
        "../envs/study.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 48000 * attempt,
    params:
        **job("export.py", functools.partial(export_spec, STUDY), machine="export"),
    message:
        "Exporting {wildcards.model}, {wildcards.export}"
    shell:
        "printf %s {params.spec:q} > {log:q}.spec.json; "
        "python {params.scripts:q}/export.py --machine {params.machine:q} --spec @{log:q}.spec.json --model {input.model:q} --runs {input.runs:q}"
        " --baselines {input.baselines:q} --plain {input.plain:q} --manifest {output:q} 2>&1 | tee {log:q}"
