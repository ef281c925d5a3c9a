"""From the configuration to runs and specs: what a change marks as stale, and what it doesn't."""

import json

import pytest

from configurations import grid, train_specs
from fewshot_distillation.config.analysis import aggregate_spec
from fewshot_distillation.config.load import load
from fewshot_distillation.config.runs import Run
from fewshot_distillation.config.specs import ModelSpec, TrainSpec
from fewshot_distillation.config.study import Study
from tiny import CONFIG, edited, study

HARMLESS = {
    "gpus": {"models__tiny__gpus": {"train": 4, "teacher": 2}},
    "a launch file": {"models__tiny__accelerate": "spread.yaml"},
    "gradient checkpointing": {"models__tiny__gradient_checkpointing": True},
    "labels": {"conditions__layerwise__label": "another name", "conditions__sft__label": "plain"},
    "plots": {"plots": {"dpi": 300, "width": 4.0}},
    "trackers": {"trackers": []},
    "saved states": {"save_state_every": 3},
    "evaluation": {"evaluation__max_new_tokens": 64, "metric": "flexible", "confidence": 0.9},
    "baselines": {"baselines": ["zeroshot", "fixed"]},
    "labels of teachers": {"teachers__fewshot__label": "eight"},
    "labelled examples that nothing uses": {"labelled": 4},
    "another recipe": {"training__other": {"learning_rate": 0.5}},
    "phase 0": {"icl_gap__phase0__questions": 2},
    "another teacher": {"teachers__other": {"shots": 4}, "teachers__fixed__seed": 9},
    "another schedule": {"schedules__long__max_steps": 50},
    "another dataset": {"datasets__other": {"source": {"generator": "word_problems", "seed": 5}}},
    "folder of results": {"results": "elsewhere"},
    "the condition's own lambda": {"conditions__layerwise__lambda": 2.0},
}


@pytest.mark.parametrize("changes", HARMLESS.values(), ids=HARMLESS)
def test_settings_that_no_training_depends_on(changes: dict):
    """The run at λ 2 is in the sweep in any case, so it may not retrain either when λ 2 becomes the default."""
    before, after = train_specs(), train_specs(**changes)
    assert all(after[run] == digest for run, digest in before.items() if run in after)
    assert len(set(before) & set(after)) >= 4


CHANGING = {
    "learning rate": ({"training__default__learning_rate": 0.5}, {"sft", "layerwise", "logit_kl"}),
    "adapter": ({"training__default__lora__r": 8}, {"sft", "layerwise", "logit_kl"}),
    "no adapter": ({"training__default__adapter": "none"}, {"sft", "layerwise", "logit_kl"}),
    "precision": ({"precision": "bf16"}, {"sft", "layerwise", "logit_kl"}),
    "schedule": ({"schedules__short__max_steps": 7}, {"sft", "layerwise", "logit_kl"}),
    "data": ({"datasets__problems__limit_train": 10}, {"sft", "layerwise", "logit_kl"}),
    "chat template": ({"models__tiny__chat_template": {}}, {"sft", "layerwise", "logit_kl"}),
    "teacher": ({"teachers__fewshot__shots": 3}, {"layerwise", "logit_kl"}),
    "span": ({"conditions__layerwise__span": "prompt_end"}, {"layerwise"}),
    "temperature": ({"conditions__logit_kl__temperature": 1.0}, {"logit_kl"}),
}


@pytest.mark.parametrize(("changes", "stale"), CHANGING.values(), ids=CHANGING)
def test_settings_that_training_depends_on(changes: dict, stale: set[str]):
    before, after = train_specs(), train_specs(**changes)
    assert {run.condition for run in before if before[run] != after[run]} == stale


def test_no_training_of_all_weights_depends_on_the_adapter_s_settings():
    assert train_specs(training__default__adapter="none") == train_specs(
        training__default__adapter="none", training__default__lora__r=8
    )


def test_one_more_lambda_leaves_the_other_runs_alone():
    before = train_specs()
    after = train_specs(studies__sweep__lambdas=[0.1, 0.5, 1, 2])
    assert set(after) - set(before) == {Run("tiny", "layerwise", "1", 42, "short")}
    assert all(after[run] == digest for run, digest in before.items())


def test_specs_survive_the_command_line():
    """As JSON and back, with `lambda` as it is written in the configuration."""
    for run in study().runs:
        spec = study().train(**run._asdict())
        text = spec.model_dump_json(by_alias=True)
        assert TrainSpec.model_validate_json(text) == spec and json.loads(text)["lambda"] == float(run.lam)


def test_a_run_s_lambda_stands_in_its_spec():
    spec = study().train("tiny", "layerwise", "2", "42", "short")
    assert spec.lam == 2.0 and spec.teachers["fewshot"].shots == 2
    sft = study().train("tiny", "sft", "0", "42", "short")
    assert sft.teachers == {} and sft.learning.targets == []


def test_a_target_by_itself_is_a_list_of_one():
    """However the configuration writes a condition, the job is the same."""
    (target,) = study().train("tiny", "layerwise", "0.5", "42", "short").learning.targets
    several = {"label": "C", "lambda": 0.5, "targets": [{"target": "hidden_states", "teacher": "fewshot"}]}
    assert train_specs(conditions__layerwise=several) == train_specs() and target.lam == 1.0


def test_phase_0_and_baselines_share_answers():
    """What a teacher's prompt with other shots is called, and that 0 and 2 shots are asked for once."""
    prompts = study(icl_gap__phase0__shots=[0, 1, 2]).prompts
    gap = prompts.config.icl_gap["phase0"]
    assert prompts.of_gap(gap) == ["zeroshot", "fewshot@1shot", "fewshot"]
    assert prompts.baselines([]) == ["zeroshot", "fewshot"] and prompts.all["fewshot@1shot"].shots == 1
    asked = study(baselines=None).prompts
    assert asked.baselines(["sft"]) == ["zeroshot"] and asked.baselines(["layerwise"]) == ["zeroshot", "fewshot"]
    assert prompts.labels["zeroshot"] == "Base · 0-shot" and prompts.labels["fewshot"] == "A · 2-shot"


def test_generation_specs_do_not_depend_on_training():
    plain, changed = (
        study(),
        study(training__default__learning_rate=0.5, training__default__lora__r=8, teachers__fixed__shots=5),
    )
    for prompt, questions in (("fewshot", "all"), ("zeroshot", "first4")):
        assert plain.baseline("tiny", prompt, questions) == changed.baseline("tiny", prompt, questions)
    assert plain.baseline("tiny", "zeroshot", "first4").evaluation.questions == 4


def test_evaluation_of_a_run_depends_on_its_checkpoints():
    changed = study(schedules__short__checkpoints=[6])
    run = Run("tiny", "sft", "0", 42, "short")
    assert study().eval_checkpoint(**run._asdict()) != changed.eval_checkpoint(**run._asdict())


def test_logits_serve_every_condition_of_a_teacher():
    second = CONFIG["conditions"]["logit_kl"] | {"label": "E", "top_k": 64, "temperature": 4.0}
    both = {"models": ["tiny"], "conditions": ["logit_kl", "second"], "schedules": ["short"]}
    spec = study(conditions__second=second, studies__main=both).precompute_logits("tiny", "fewshot", "question")
    assert spec.top_k == 64 and spec.temperatures == [1.0, 2.0, 4.0]


def test_an_unused_condition_does_not_change_the_logits_of_others():
    """Conditions that no study trains may be kept in the catalogue."""
    before = study().precompute_logits("tiny", "fewshot", "question")
    for other in ({"top_k": 64, "teacher": "fixed"}, {"top_k": 64, "temperature": 3.0}):
        second = CONFIG["conditions"]["logit_kl"] | {"label": "E"} | other
        assert study(conditions__second=second).precompute_logits("tiny", "fewshot", "question") == before


def test_aggregate_names_plain_fine_tuning_and_the_sweep():
    spec = aggregate_spec(study())
    main, sweep = (
        {(group["condition"], group["lambda"], group["schedule"]) for group in groups["tiny"]}
        for groups in (spec.main, spec.sweeps)
    )
    assert spec.plain == "sft" and ("layerwise", 0.5, "short") in main
    assert ("layerwise", 0.1, "short") in sweep and len(sweep) == 4
    assert study(studies={"main": grid(conditions=["layerwise"])}).plain is None


def test_order_of_keys_does_not_matter():
    turned = {key: edited()[key] for key in reversed(edited())}
    assert train_specs() == {run: Study(load(turned)).train(**run._asdict()).digest() for run in study().runs}


def test_how_the_base_model_is_asked_marks_nothing_else_as_stale():
    before, after = study(), study(models__tiny__chat_template_base={"enable_thinking": True})
    asked = {"model": "tiny", "prompt": "zeroshot", "questions": "all"}
    assert before.baseline(**asked).model.chat_template == {"enable_thinking": False}
    assert after.baseline(**asked).model.chat_template == {"enable_thinking": True}
    assert train_specs() == train_specs(models__tiny__chat_template_base={"enable_thinking": True})
    run = after.runs[0]._asdict()
    assert after.eval_checkpoint(**run).model.chat_template == {"enable_thinking": False}


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": {"question": "Question: {question}"}},
        {"prompt": {"system": "Be brief."}},
        {"prompt": {"template_date": "2025-01-01"}},
        {"models__tiny__prompt": {"system": "Be brief."}},
    ],
)
def test_wording_is_part_of_what_everything_but_the_fetched_model_depends_on(change: dict):
    before, after = study(), study(**change)
    assert before.fetch_model("tiny") == after.fetch_model("tiny")
    run, asked = before.runs[0]._asdict(), {"model": "tiny", "prompt": "zeroshot", "questions": "all"}
    assert before.train(**run) != after.train(**run) and before.baseline(**asked) != after.baseline(**asked)
    assert before.eval_checkpoint(**run) != after.eval_checkpoint(**run)


def test_wording_of_a_model_comes_before_the_study_s():
    asked = {"question": "Q: {question}", "system": "Be long."}
    one = study(prompt=asked, models__tiny__prompt={"system": "Be brief."}).model_spec("tiny").wording
    assert (one.question, one.system) == ("Q: {question}", "Be brief.")
    assert study(prompt=asked, models__tiny__prompt={"system": None}).model_spec("tiny").wording.system is None


def test_default_wording_is_no_part_of_a_spec():
    """Results of before there was a choice stay up to date."""
    asked = study().model_spec("tiny")
    assert (
        "wording" not in asked.model_dump()
        and "wording" not in study().train(**study().runs[0]._asdict()).model_dump_json()
    )
    assert ModelSpec.model_validate(asked.model_dump()) == asked
    assert "wording" in study(prompt={"system": "Be brief."}).model_spec("tiny").model_dump()
