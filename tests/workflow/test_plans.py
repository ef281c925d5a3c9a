"""Dry runs: the jobs that a target needs."""

import copy
import json
import re
from collections import Counter
from pathlib import Path

import warm
from project import ROOT, Project


def test_named_target_needs_only_its_run(finished: Project, tmp_path):
    fresh = Project(tmp_path, finished.config)
    plan = fresh.planned("train_layerwise_0.5_tiny")
    assert plan == Counter(
        fetch_model=1,
        fetch_dataset=1,
        baseline=2,
        icl_gap=1,
        precompute_activations=1,
        audit_signal=1,
        train=1,
        **{"train_layerwise_0.5_tiny": 1},
    )
    assert fresh.planned("eval_sft_0_tiny")["eval_checkpoint"] == 1


def test_validation_rows_are_answered_beside_the_test_questions(finished: Project, tmp_path):
    """Their files are in a folder of the run, which is no run of its own: `<run>` fits a run's folder alone."""
    config = copy.deepcopy(finished.config)
    config["datasets"]["problems"]["validation"] = 4
    plan = Project(tmp_path, config).planned("all")
    assert plan["eval_validation"] == plan["score_validation"] == plan["train"] == plan["eval_checkpoint"] > 0


def test_one_figure_needs_only_what_it_shows(finished: Project, tmp_path):
    plan = Project(tmp_path, finished.config).planned("results/figures/tiny/lambda_sweep.png")
    assert plan["train"] == 3, "two λ and plain fine-tuning"
    assert "precompute_logits" not in plan and "aggregate" not in plan


def test_jobs_of_several_rules_make_a_group(finished: Project, tmp_path):
    """Snakemake refuses a group whose jobs have different texts in one resource."""
    groups = ["--groups", "train=a", "eval_checkpoint=a", "score=a", "--"]
    assert "train" in Project(tmp_path, finished.config).run("-n", *groups, "eval_sft_0_tiny")


def test_torn_manifest_of_a_model_is_made_again(finished: Project, tmp_path):
    """Also where a condition names layers, which are looked up in it."""
    config = copy.deepcopy(finished.config)
    config["conditions"]["layerwise"]["layers"] = [0]
    project = Project(tmp_path, config)
    project.path("models", "tiny").mkdir(parents=True)
    project.path("models", "tiny", "manifest.json").write_text('{"model": {')
    project.run("-n", "all")


def test_rule_graph_reads_like_the_study(finished: Project):
    graph = finished.run("all", "--rulegraph")
    names = dict(line.strip().split("[label = ")[::1] for line in graph.splitlines() if "label = " in line)
    names = {number: label.split('"')[1] for number, label in names.items()}
    edges = {
        (names[a.strip()], names[b.strip()])
        for a, b in (line.strip(" \t;").split("->") for line in graph.splitlines() if "->" in line)
    }
    chain = [
        "baseline",
        "icl_gap",
        "precompute_activations",
        "precompute_logits",
        "train",
        "eval_checkpoint",
        "score",
        "aggregate",
    ]
    assert set(zip(chain, chain[1:], strict=False)) <= edges
    assert ("score", "plot_accuracy_curve") in edges


# The published study by hand, as (rule, model): jobs.
# Trained: 1.7B with B, C, D and three more λ (0.5 is C itself), and B, C early; 8B with B, C, D, and B, C early.
# Asked: each training run once, and three candidates with 0, 4 and 8 shots in phase 0, on 16 questions and on all of
# them; the baselines of the trained models are among the latter. One teacher for each trained model, with logits for D.
# Only 1.7B has a λ sweep to draw.
SMALL, LARGE, CANDIDATE = "qwen3-1.7b", "qwen3-8b", "qwen3-4b-instruct"
PUBLISHED_STUDY = {
    ("fetch_dataset", None): 1,
    ("fetch_model", SMALL): 1, ("fetch_model", LARGE): 1, ("fetch_model", CANDIDATE): 1,
    ("icl_gap", SMALL): 1, ("icl_gap", LARGE): 1, ("summarise_icl_gap", None): 2, ("plot_icl_gap", None): 2,
    ("baseline", SMALL): 6, ("baseline", LARGE): 6, ("baseline", CANDIDATE): 6,
    ("score_baseline", SMALL): 6, ("score_baseline", LARGE): 6, ("score_baseline", CANDIDATE): 6,
    ("precompute_activations", SMALL): 1, ("precompute_activations", LARGE): 1,
    ("precompute_logits", SMALL): 1, ("precompute_logits", LARGE): 1,
    ("audit_signal", SMALL): 1, ("audit_signal", LARGE): 1,
    ("train", SMALL): 8, ("train", LARGE): 5,
    ("eval_checkpoint", SMALL): 8, ("eval_checkpoint", LARGE): 5,
    ("score", SMALL): 8, ("score", LARGE): 5,
    ("plot_main_comparison", SMALL): 1, ("plot_main_comparison", LARGE): 1,
    ("plot_accuracy_curve", SMALL): 1, ("plot_accuracy_curve", LARGE): 1,
    ("plot_loss_curves", SMALL): 1, ("plot_loss_curves", LARGE): 1,
    ("plot_learning_rate", SMALL): 1, ("plot_learning_rate", LARGE): 1,
    ("plot_gradients", SMALL): 1, ("plot_gradients", LARGE): 1,
    ("plot_lambda_sweep", SMALL): 1,
    ("aggregate", None): 1, ("write_analysis", None): 1, ("write_report", None): 1,
}  # fmt: skip


def assert_gpus_of_the_published_study(output: str) -> None:
    """8B's teacher and training have two GPUs; everything else has one."""
    pattern = r"^Shell command: python \S*/(\w+)\.py --machine '(\{.*?\})' --spec .*?\"name\":\"([^\"]+)\""
    commands = [match for match in re.findall(pattern, output, re.M) if match[0] != "fetch_model"]
    for name, machine, model in commands:
        sharded = model == LARGE and name in ("precompute_activations", "audit_signal", "train")
        assert json.loads(machine)["gpus"] == 1 + sharded, (name, model)
    on_gpus = ("baseline", "precompute_", "audit_", "train", "eval_")
    assert len(commands) == sum(n for (rule, _), n in PUBLISHED_STUDY.items() if rule.startswith(on_gpus))


def test_default_configuration_plans_the_published_study(tmp_path):
    """Exactly these jobs: by the table of rules, and for each model by the logs that the commands write."""
    output = warm.snakemake("--directory", str(tmp_path), "-n", "-p", "all", folder=ROOT)
    table = re.search(r"Job stats:\njob +count\n[- ]+\n((?:\S+ +\d+\n)+)", output).group(1)
    rules, logs = Counter({"all": 1, "total": sum(PUBLISHED_STUDY.values()) + 1}), Counter()
    for (rule, model), count in PUBLISHED_STUDY.items():
        rules[rule] += count
        # The three rules that score share a folder of logs; phase 0's mark runs no command.
        if rule != "icl_gap":
            logs["score" if rule.startswith("score_") else rule, model] += count
    assert {name: int(count) for name, count in re.findall(r"(\S+) +(\d+)\n", table)} == rules
    assert_gpus_of_the_published_study(output)
    paths = [Path(log).with_suffix("").parts for log in re.findall(r"tee results/logs/(\S+)", output)]
    models = (SMALL, LARGE, CANDIDATE)
    assert Counter((path[0], next((m for m in models if m in path), None)) for path in paths) == logs


ADDED_MODEL = """\
models: {my-gemma: {source: {hub: google/gemma-3-270m-it}}}
studies:
  mine: {models: [my-gemma], conditions: [sft, layerwise, logit_kl], schedules: [full]}
"""


def test_a_model_is_added_in_three_lines(tmp_path):
    """It gets its caches, runs and figures beside those of the study."""
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(ADDED_MODEL)
    arguments = ("--directory", str(tmp_path), "--configfile", str(overlay), "-n")
    plan = warm.snakemake(*arguments, "eval_logit_kl_0.5_my-gemma", folder=ROOT)
    for rule in ("fetch_model", "precompute_activations", "precompute_logits", "train", "eval_checkpoint", "score"):
        assert re.search(rf"\n{rule} +1\n", plan), rule
    assert re.search(r"\ntrain +16\n", warm.snakemake(*arguments, "all", folder=ROOT))


def test_workflow_lint_is_clean():
    warm.snakemake("--lint", folder=ROOT)


def test_targets_of_one_model_need_only_that_model(finished: Project, tmp_path):
    config = copy.deepcopy(finished.config)
    config["models"]["other"] = config["models"]["tiny"]
    config["studies"]["main"]["models"] = ["tiny", "other"]
    fresh = Project(tmp_path, config)
    output = fresh.run("-n", "results/figures/other/main_comparison.png")
    assert "results/models/other/manifest.json" in output and "results/models/tiny" not in output
    one = fresh.run("train_logit_kl_0.5_other", "-n", "--quiet", "rules").replace("/tiny-model", "")
    assert "other" in one and "tiny" not in one
