# Few-shot distillation: can what a language model does with examples in its prompt be trained into its weights?
#
#   icl_gap -> precompute_activations -> precompute_logits -> train -> eval_checkpoint -> score -> aggregate -> plot
#
# Output layout below the results folder (rules/files.smk defines the names in angle brackets):
#
#   models/<model>/                                       weights and tokenizer
#   data/<dataset>/{train,test}.jsonl                     questions and answers
#   icl_gap/<phase>/<model>/predictions.parquet           phase 0; icl_gap/<phase>.json has the recommended model
#   teachers/<model>/<teacher>/                           hidden states and logits of the teacher, and their audit
#   baselines/<model>/<prompt>/<questions>/               the base model, 0-shot and few-shot (condition A)
#   runs/<model>/<condition>/lambda<λ>/seed<s>/<schedule> adapters, metrics, answers and accuracy of one training run
#   report.html, analysis.md, tables/, figures/, …        the results
#   logs/, benchmarks/, .state/                           one log and benchmark a job; unfinished work
include: "rules/configuration.smk"
include: "rules/files.smk"
include: "rules/launching.smk"
include: "rules/driver.smk"
include: "rules/prepare.smk"
include: "rules/icl_gap.smk"
include: "rules/evaluate.smk"
include: "rules/teacher.smk"
include: "rules/train.smk"
include: "rules/plot.smk"
include: "rules/aggregate.smk"
include: "rules/report.smk"
include: "rules/targets.smk"
include: "rules/plan.smk"


rule all:
    default_target: True
    input:
        EVERYTHING,


onstart:
    begin()


onsuccess:
    end()


if SNAKEMAKE.is_driver and not MODULE and (reason := SNAKEMAKE.unknown_target()):
    raise WorkflowError(reason)
SNAKEMAKE.drop_rule_functions(globals())
