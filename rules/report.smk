# What a study hands over: the report, one page that opens anywhere, and exported models.


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
        spec=lambda wildcards: report_spec(STUDY, figure_captions()).model_dump_json(),
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


rule export:
    input:
        model="<weights>/manifest.json",
        runs=runs_to_export("accuracy.csv"),
        checkpoints=runs_to_export("checkpoints/manifest.json"),
        validation=runs_to_export("validation/accuracy.csv") if STUDY.dataset.validation else [],
        baselines=lambda wildcards: baselines_of(wildcards.model, "accuracy.csv"),
        plain=plain_runs,
    output:
        "<results>/export/{model}/{export}/manifest.json",
    log:
        "<logs>/export/{model}/{export}.log",
    benchmark:
        "<benchmarks>/export/{model}/{export}.tsv"
    wildcard_constraints:
        export=any_of({name for names in EXPORTS.values() for name in names}),
    conda:
        "../envs/study.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 48000 * attempt,
    params:
        scripts=scripts,
        machine=machine("export"),
        spec=lambda wildcards: export_spec(STUDY, wildcards.model, wildcards.export).model_dump_json(by_alias=True),
        code=code_of("export.py"),
    message:
        "Exporting {wildcards.model}, {wildcards.export}"
    shell:
        "printf %s {params.spec:q} > {log:q}.spec.json; "
        "python {params.scripts:q}/export.py --machine {params.machine:q} --spec @{log:q}.spec.json --model {input.model:q} --runs {input.runs:q}"
        " --baselines {input.baselines:q} --plain {input.plain:q} --manifest {output:q} 2>&1 | tee {log:q}"


# People type these.
for model, names in EXPORTS.items() if SNAKEMAKE.is_driver else ():
    for name in names:

        rule:
            name:
                f"export_{model}" if name == CHOSEN else f"export_{name}_{model}"
            input:
                f"<results>/export/{model}/{name}/manifest.json",
