"""From the configuration to runs and specs: what a change marks as stale, and what it doesn't."""

import json
from pathlib import Path

import pytest

from configurations import grid, runs
from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.checks import check_fetched_models, check_launch_files, check_results_folder
from fewshot_distillation.config.chosen_study import with_settings
from fewshot_distillation.config.load import load
from fewshot_distillation.config.runs import Run, lambda_text
from tiny import edited, study


def test_every_combination_is_a_run():
    found = study(studies={"main": grid(seeds=[1, 2], schedules=["short", "long"], lambdas=[0.1, 2])}).runs
    layerwise = {Run("tiny", "layerwise", lam, s, t) for lam in ("0.1", "2") for s in (1, 2) for t in ("short", "long")}
    sft = {Run("tiny", "sft", "0", s, t) for s in (1, 2) for t in ("short", "long")}
    assert len(found) == 12 and set(found) == layerwise | sft


def test_a_run_of_two_studies_is_one_run():
    assert runs() == {
        "tiny/sft/0/42/short",
        "tiny/layerwise/0.5/42/short",
        "tiny/logit_kl/0.5/42/short",
        "tiny/layerwise/0.1/42/short",
        "tiny/layerwise/2/42/short",
    }
    assert len(study().runs) == 5


def test_the_same_lambda_written_in_two_ways():
    assert len(study(studies={"main": grid(conditions=["layerwise"], lambdas=[1, 1.0, 0.50, 0.5])}).runs) == 2


@pytest.mark.parametrize(("lam", "text"), [(0.5, "0.5"), (1, "1"), (2.0, "2"), (0, "0"), (0.1, "0.1"), (1e-5, "1e-05")])
def test_lambda_text(lam: float, text: str):
    assert lambda_text(lam) == text and float(text) == lam


def test_seeds_of_a_study_come_before_the_others():
    assert {run.seed for run in study(seeds=[7, 8], studies={"a": grid(), "b": grid(seeds=[1])}).runs} == {1, 7, 8}


def test_default_runs_have_the_condition_s_own_lambda():
    assert {(r.condition, r.lam) for r in study().default_runs("tiny")} == {
        ("sft", "0"), ("layerwise", "0.5"), ("logit_kl", "0.5"),
    }  # fmt: skip


def test_default_runs_take_the_first_lambda_where_its_own_is_missing():
    one = study(studies={"main": grid(lambdas=[2, 0.1])})
    assert {(r.condition, r.lam) for r in one.default_runs("tiny")} == {("sft", "0"), ("layerwise", "2")}


def test_main_runs_have_the_longest_schedule_of_each_condition():
    studies = {"main": grid(schedules=["short", "long"]), "more": grid(conditions=["logit_kl"])}
    found = study(studies=studies).main_runs("tiny")
    assert {(r.condition, r.schedule) for r in found} == {("sft", "long"), ("layerwise", "long"), ("logit_kl", "short")}


def test_sweep_runs_hold_the_swept_condition_and_plain_fine_tuning():
    assert {(r.condition, r.lam) for r in study().sweep_runs("tiny")} == {
        ("sft", "0"), ("layerwise", "0.1"), ("layerwise", "0.5"), ("layerwise", "2"),
    }  # fmt: skip


def test_sweep_runs_hold_swept_schedules_only():
    one = study(studies={"main": grid(schedules=["short", "long"]), "sweep": grid(lambdas=[0.1, 0.5])})
    assert {r.schedule for r in one.sweep_runs("tiny")} == {"short"}
    assert study(studies={"main": grid()}).sweep_runs("tiny") == []


def test_models():
    both = {"tiny": {"source": {"files": "x"}}, "other": {"source": {"files": "y"}}}
    one = study(models=both, icl_gap__phase0__models=["other", "tiny"])
    assert one.models == ["tiny"]
    assert one.gap_before("tiny") == "phase0" and study(icl_gap={}).gap_before("tiny") is None


def test_matched_layers_and_the_check_against_fetched_models(tmp_path: Path):
    one = study(conditions__layerwise__layers=[0, 1])
    assert one.matched_layers() == {"tiny": [0, 1]} and study().matched_layers() == {}
    check_fetched_models(one, tmp_path)  # what isn't there is checked when it is fetched
    (tmp_path / "tiny").mkdir()
    manifest = {"num_layers": 1, "model": one.fetched_model("tiny").model_dump(mode="json")}
    (tmp_path / "tiny" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"layers \[1\] are not in model 'tiny'"):
        check_fetched_models(one, tmp_path)
    # What was fetched from another source is about to be replaced.
    check_fetched_models(study(conditions__layerwise__layers=[0, 1], models__tiny__source={"files": "new"}), tmp_path)


def test_launch_files(tmp_path: Path):
    missing = tmp_path / "spred.yaml"
    for name in ("fsdp", "deepspeed"):
        there = Path(__file__).resolve().parents[2] / "envs" / f"accelerate-{name}.yaml"
        check_launch_files(study(models__tiny__accelerate=str(there)))
    check_launch_files(study())
    with pytest.raises(ConfigError, match=r"models\.tiny\.accelerate: there is no file '.*spred\.yaml'"):
        check_launch_files(study(models__tiny__accelerate=str(missing)))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("distributed_type: FSDP", "FSDP with fsdp_version 1;"),
        ("distributed_type: FSDP\nfsdp_config: {fsdp_version: 1}", "FSDP with fsdp_version 1;"),
        ("distributed_type: MEGATRON_LM", "MEGATRON_LM;"),
        ("- distributed_type", "None;"),
        ("{", "None;"),
    ],
)
def test_launch_files_that_training_does_not_know(tmp_path: Path, text: str, asked: str):
    path = tmp_path / "spread.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"models\.tiny\.accelerate: '.*' asks for distributed_type {asked}.*FSDP"):
        check_launch_files(study(models__tiny__accelerate=str(path)))


def test_a_results_folder_below_a_file(tmp_path: Path):
    (tmp_path / "file").touch()
    check_results_folder(study(results=str(tmp_path / "new" / "a")))
    with pytest.raises(ConfigError, match=r"results: expected a folder, '.*/file' is a file; choose another path than"):
        check_results_folder(study(results=str(tmp_path / "file" / "a")))


def test_a_study_to_build_that_is_no_list():
    with pytest.raises(ConfigError, match=r"build: input should be a valid list \(it is 'main'\)"):
        load(with_settings(edited(build="main"), [], {}))


def test_recipes_and_subsets_are_runs_of_their_own():
    grid = {"models": ["tiny"], "conditions": ["sft"], "schedules": ["short"]}
    grid |= {"recipes": ["default", "tuned"], "train_examples": [4, 8]}
    one = study(training__tuned={"learning_rate": 0.5}, studies={"only": grid})
    names = ["short@n4", "short@n8", "short@tuned@n4", "short@tuned@n8"]
    assert sorted(run.schedule for run in one.runs) == names
    spec = one.train("tiny", "sft", "0", "42", "short@tuned@n4")
    assert (spec.training.learning_rate, spec.train_examples, spec.schedule_name) == (0.5, 4, "short")
    assert spec.training.effective_batch_size == 4, "what a recipe leaves out is that of the default one"
    identity = one.score_run("tiny", "sft", "0", "42", "short@tuned@n4").identity
    assert identity["recipe"] == "tuned" and identity["train_examples"] == 4


def test_the_main_comparison_has_every_size_and_recipe():
    grid = {"models": ["tiny"], "conditions": ["sft"], "schedules": ["short", "long"], "train_examples": [8, 4]}
    one = study(studies={"only": grid})
    assert {run.schedule for run in one.main_runs("tiny")} == {"long@n8", "long@n4"}
    assert one.variant_words(one.main_runs("tiny")) == {"sft": {"long@n8": "8 examples", "long@n4": "4 examples"}}
    assert {run.schedule for run in one.size_runs("tiny")} == {run.schedule for run in one.runs}
    every = study(studies={"only": grid, "all": grid | {"train_examples": None, "schedules": ["short"]}})
    assert {run.schedule for run in every.main_runs("tiny")} == {"long@n8", "long@n4", "short"}
    recipes = study(training__tuned={"learning_rate": 0.5}, studies={"only": plain_grid(recipes=["default", "tuned"])})
    assert {run.schedule for run in recipes.main_runs("tiny")} == {"short", "short@tuned"}
    words = recipes.variant_words(recipes.main_runs("tiny"))
    assert words == {"sft": {"short": "recipe default", "short@tuned": "recipe tuned"}}
    assert not study().size_runs("tiny") and not study().variant_words(study().main_runs("tiny"))


def plain_grid(**changes) -> dict:
    return {"models": ["tiny"], "conditions": ["sft"], "schedules": ["short"], **changes}


def test_gradients_are_shown_where_more_than_one_step_logs_them():
    assert not study().gradient_runs("tiny"), "6 steps are fewer than 50"
    assert {run.condition for run in study(log_gradients_every=2).gradient_runs("tiny")} == {"layerwise", "logit_kl"}
    assert not study(log_gradients_every=0).gradient_runs("tiny")


def test_where_validation_chooses_the_main_figure_reads_every_weight():
    assert study().chosen_runs("tiny") == study().main_runs("tiny")
    chosen = study(datasets__problems__validation=2).chosen_runs("tiny")
    assert {run.lam for run in chosen if run.condition == "layerwise"} == {"0.1", "0.5", "2"}


@pytest.mark.parametrize(("lambdas", "shown"), [([0, 1], "1"), ([2, 0.5], "0.5"), ([0], "0")])
def test_a_condition_is_shown_at_its_own_lambda_or_one_above_zero(lambdas, shown):
    grid = {"models": ["tiny"], "conditions": ["layerwise"], "lambdas": lambdas, "schedules": ["short"]}
    runs = study(studies={"only": grid}).default_runs("tiny")
    assert {run.lam for run in runs} == {shown}
