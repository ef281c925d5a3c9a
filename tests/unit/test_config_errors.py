"""Errors in the configuration: one sentence with the key, the value, and what is allowed or was probably meant."""

from pathlib import Path

import pytest
import yaml

from configurations import error_of, grid
from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.checks import check_layers
from fewshot_distillation.config.load import load
from tiny import edited

SHA = "0" * 64
WHEEL = {"wheel": "tiny==1.0", "gguf": "a.gguf", "sha256": SHA}


CASES = {
    # Names that nothing defines.
    "dataset": ({"dataset": "problem"}, ["dataset: unknown name 'problem'", "did you mean 'problems'?"]),
    "model in a study": (
        {"studies__main": grid(models=["tinny"])},
        ["studies.main.models: unknown name 'tinny'", "did you mean 'tiny'? Allowed: tiny"],
    ),
    "condition in a study": (
        {"studies__main": grid(conditions=["layrwise"])},
        ["studies.main.conditions: unknown name 'layrwise'", "'layerwise'", "Allowed: layerwise, logit_kl, sft"],
    ),
    "schedule in a study": (
        {"studies__main": grid(schedules=["shor"])},
        ["studies.main.schedules: unknown name 'shor'", "did you mean 'short'? Allowed: long, short"],
    ),
    "teacher of a condition": (
        {"conditions__layerwise__teacher": "fewshoot"},
        ["conditions.layerwise.teacher: unknown name 'fewshoot'", "did you mean 'fewshot'?"],
    ),
    "model of phase 0": ({"icl_gap__phase0__models": ["x"]}, ["icl_gap.phase0.models: unknown name 'x'", "tiny"]),
    # Steps.
    "checkpoint beyond the end": (
        {"schedules__short__checkpoints": [3, 7]},
        ["schedules.short: checkpoint step 7 is beyond max_steps 6"],
    ),
    "checkpoints out of order": (
        {"schedules__short__checkpoints": [6, 3]},
        ["schedules.short: checkpoints must be ascending without repetition, not [6, 3]"],
    ),
    "repeated checkpoints": (
        {"schedules__short__checkpoints": [3, 3]},
        ["schedules.short: checkpoints must be ascending without repetition, not [3, 3]"],
    ),
    "checkpoint zero": ({"schedules__short__checkpoints": [0, 3]}, ["schedules.short.checkpoints.0", "1", "it is 0"]),
    "no checkpoint": ({"schedules__short__checkpoints": []}, ["schedules.short.checkpoints", "at least 1", "it is []"]),
    "shots out of order": ({"icl_gap__phase0__shots": [4, 0]}, ["icl_gap.phase0: shots must be ascending", "[4, 0]"]),
    "baselines of an old version": (
        {"baselines": {"shots": [0, 8]}},
        ["baselines: a list of teachers' names is expected, such as [zeroshot, fewshot]"],
    ),
    "training without a recipe": (
        {"training": {"learning_rate": 0.1}},
        ["training: 'learning_rate' is a setting of a recipe", "put it under `default:`"],
    ),
    "an adapter of an old version": (
        {"lora": {"r": 4}},
        ["'lora' is no longer a key here; move it to 'training.default.lora'"],
    ),
    "an adapter's setting for a model": (
        {"models__tiny__lora": {"rank": 4}},
        ["models.tiny.lora", "unknown key 'rank'"],
    ),
    "a recipe in a study": (
        {"studies__main": grid(recipes=["tuned"])},
        ["studies.main.recipes: unknown name 'tuned'", "allowed: default"],
    ),
    "a loss that isn't there": (
        {"conditions__logit_kl__divergence": "forward"},
        ["conditions.logit_kl.divergence: unknown loss 'forward'", "did you mean 'forward_kl'?"],
    ),
    "a parameter out of bounds": (
        {"conditions__logit_kl__divergence": "jensen_shannon", "conditions__logit_kl__parameters": {"beta": 1.5}},
        ["conditions.logit_kl: parameters: beta must be between 0.0 and 1.0, not 1.5"],
    ),
    "one of several targets": (
        {"conditions__both": {"label": "E", "targets": [{"target": "logits", "teacher": "fewshot", "top_k": 0}]}},
        ["conditions.both.targets.0.top_k: ", "it is 0"],
    ),
    "all layers of all answers": (
        {"conditions__layerwise__span": "answer"},
        ["conditions.layerwise: layers: all layers at every answer token would take", "name a few layers"],
    ),
    "labelled examples without a number": (
        {"conditions__layerwise__examples": "unlabelled"},
        ["conditions.layerwise.examples: expected a number in `labelled`, got none; set it"],
    ),
    "answers of nobody": (
        {"conditions__sft__answers": "fewshoot"},
        ["conditions.sft.answers: unknown name 'fewshoot'", "did you mean 'fewshot'?"],
    ),
    "more validation rows than rows": (
        {"datasets__problems__validation": 12},
        ["datasets.problems.validation: 12 rows can't be set aside of 12"],
    ),
    "repeated candidates": (
        {"icl_gap__phase0__models": ["tiny", "tiny"]},
        ["icl_gap.phase0: models must not repeat, not ['tiny', 'tiny']"],
    ),
    # Numbers out of range.
    "negative lambda of a condition": (
        {"conditions__layerwise__lambda": -0.5},
        ["conditions.layerwise.lambda: ", "greater than or equal to 0", "it is -0.5"],
    ),
    "negative lambda of a study": (
        {"studies__main": grid(lambdas=[0.5, -1.0])},
        ["studies.main.lambdas.1: ", "greater than or equal to 0", "it is -1.0"],
    ),
    "more demonstrations than examples": (
        {"teachers__fewshot__shots": 12},
        ["teachers.fewshot.shots: 12 demonstrations can't be drawn from 12 training examples"],
    ),
    "warm-up without an end": (
        {"training__default__warmup_steps": 6},
        ["training.default.warmup_steps: 6 is not less than max_steps 6 of schedule 'short'"],
    ),
    "recipe that is written like a number of examples": (
        {"training__n500": {"learning_rate": 0.1}},
        ["training: the name 'n500' is taken by `train_examples: 500` in paths"],
    ),
    "label twice": ({"conditions__sft__label": "C"}, ["conditions.layerwise.label: 'C' is the label of 'sft' already"]),
    "two kinds of source": (
        {"models__tiny__source__hub": "a/b"},
        ["models.tiny.source: a source is a mapping with exactly one of the keys hub, files, wheel"],
    ),
    "infinite lambda": (
        {"conditions__layerwise__lambda": float("inf")},
        ["conditions.layerwise.lambda: ", "it is inf"],
    ),
    "lambda that is no number": ({"conditions__layerwise__lambda": float("nan")}, ["conditions.layerwise.lambda: "]),
    "lambda of plain fine-tuning": ({"conditions__sft__lambda": 0.5}, ["conditions.sft.lambda: ", "it is 0.5"]),
    "micro batch": (
        {"training__default__micro_batch_size": 3},
        [
            "training.default: 'micro_batch_size' is no longer a key; set micro_batch_tokens",
            "2048 for 4 examples of 512",
        ],
    ),
    "zero temperature": ({"conditions__logit_kl__temperature": 0}, ["conditions.logit_kl.temperature: ", "it is 0"]),
    "an old key": ({"training__default__lr": 1e-4}, ["training.default: 'lr' is now called 'learning_rate'"]),
    "text for a number": (
        {"training__default__learning_rate": "fast"},
        ["training.default.learning_rate: ", "number", "it is 'fast'"],
    ),
    "precision": ({"precision": "fp16"}, ["precision: ", "'bf16' or 'fp32'", "it is 'fp16'"]),
    "no seeds": ({"seeds": []}, ["seeds: ", "at least 1", "it is []"]),
    # Keys that nobody knows, at several depths.
    "key at the top": ({"dataste": "x"}, ["unknown key 'dataste'", "did you mean 'dataset'?"]),
    "key of training": ({"training__default__warmup": 3}, ["training.default: unknown key 'warmup'", "'warmup_steps'"]),
    "key of a condition": (
        {"conditions__layerwise__normalise": True},
        ["conditions.layerwise: unknown key 'normalise'", "did you mean 'normalize'?"],
    ),
    "key of a model's GPUs": (
        {"models__tiny__gpus": {"trian": 2}},
        ["models.tiny.gpus: unknown key 'trian'", "'train'"],
    ),
    "key of a source": (
        {"models__tiny__source": {"hub": "a/b", "revison": "main"}},
        ["models.tiny.source: unknown key 'revison'", "did you mean 'revision'?"],
    ),
    "several keys": (
        {"training__default__batch": 8, "training__default__learn_rate": 1, "training__default__rank": None},
        ["training.default: unknown keys 'batch', 'learn_rate' (did you mean 'learning_rate'?); allowed: adapter, "],
    ),
    "key of a study": ({"studies__main": grid(lambda_=[1])}, ["studies.main: unknown key 'lambda_'", "'lambdas'"]),
    "key that another target has": (
        {"conditions__layerwise__temperature": 2.0},
        ["conditions.layerwise: unknown key 'temperature'", "allowed: ", "normalize"],
    ),
    # Layers, targets and sources.
    "repeated layers": (
        {"conditions__layerwise__layers": [1, 1]},
        ["conditions.layerwise: layers must be 'all' or ascending layer numbers without repetition, not [1, 1]"],
    ),
    "layers out of order": ({"conditions__layerwise__layers": [1, 0]}, ["ascending layer numbers", "not [1, 0]"]),
    "no layers": ({"conditions__layerwise__layers": []}, ["conditions.layerwise: layers must be 'all' or ascending"]),
    "target": (
        {"conditions__layerwise__target": "attention"},
        ["conditions.layerwise: target must be hidden_states or logits"],
    ),
    "missing teacher": (
        {"conditions__layerwise": {"label": "C", "target": "hidden_states"}},
        ["conditions.layerwise.teacher: field required"],
    ),
    "source without a key that says what it is": (
        {"models__tiny__source": {"folder": "x"}},
        ["models.tiny.source: a source is a mapping with exactly one of the keys hub, files, wheel"],
    ),
    "source that is a text": (
        {"datasets__problems__source": "gsm8k"},
        [
            "a source is a mapping with exactly one of the keys hub, files, generator",
            "'gsm8k'",
        ],
    ),
    "short digest": (
        {"models__tiny__source": WHEEL | {"sha256": "abc"}},
        ["models.tiny.source.sha256: ", "[0-9a-f]{64}", "it is 'abc'"],
    ),
    "digest with capitals": ({"models__tiny__source": WHEEL | {"sha256": "A" * 64}}, ["models.tiny.source.sha256: "]),
    "unpinned wheel": (
        {"models__tiny__source": WHEEL | {"wheel": "tiny"}},
        ["models.tiny.source.wheel: ", "it is 'tiny'"],
    ),
    "generator": (
        {"datasets__problems__source": {"generator": "poems"}},
        ["datasets.problems.source.generator: ", "'word_problems'", "it is 'poems'"],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), CASES.values(), ids=CASES)
def test_one_sentence_says_what_is_wrong(changes: dict, expected: list[str]):
    text = error_of(edited(**changes))
    assert "\n" not in text
    for part in expected:
        assert part in text, text


def test_a_condition_may_not_have_the_name_of_the_base_model():
    """The condition of the base model's rows in tables and figures is `base`."""
    text = error_of(edited(conditions__base={"label": "mine"}))
    assert text.startswith("conditions") and "base" in text


def test_several_errors_are_several_lines():
    text = error_of(edited(studies__main=grid(models=["x"], schedules=["y"])))
    assert [line.partition(":")[0] for line in text.splitlines()] == ["studies.main.models", "studies.main.schedules"]
    text = error_of(edited(precision="fp16", training__default__learning_rate=-1))
    assert [line.partition(":")[0] for line in text.splitlines()] == ["precision", "training.default.learning_rate"]


def test_what_recipes_inherit_is_told_once():
    """A mistake of the default recipe is also in those that take it over; one of their own is told."""
    text = error_of(edited(training__default__lr=1e-4, training__tuned={"lora": {"r": 4}}, training__other={"lora": 3}))
    assert [line.partition(":")[0] for line in text.splitlines()] == ["training.default"]
    text = error_of(edited(training__default__learning_rate=-1, training__tuned={"max_tokens": 1}))
    keys = [line.partition(":")[0] for line in text.splitlines()]
    assert keys == ["training.default.learning_rate", "training.tuned.max_tokens"]


def test_null_in_place_of_a_section():
    text = error_of(edited(icl_gap=None))
    assert text == "icl_gap: expected keys with values, got null; to remove one entry: icl_gap: {<entry>: null}"
    assert error_of(edited(schedules__short=3)) == "schedules.short: expected keys with values, got 3"


def test_null_removes_an_entry():
    """So that an overlay can take away what it inherits."""
    config = load(edited(studies__sweep=None, conditions__logit_kl=None, studies__main__conditions=["sft"]))
    assert set(config.studies) == {"main"} and set(config.conditions) == {"sft", "layerwise"}


def test_what_null_removed_may_not_be_used():
    assert "studies.main.conditions: unknown name 'sft'" in error_of(edited(conditions__sft=None))


def test_a_catalogue_that_is_not_a_mapping():
    assert error_of(edited(models=["tiny"])).startswith("models: ")


def test_layers_outside_the_model():
    check_layers("tiny", [0, 1], 2)
    with pytest.raises(ConfigError, match=r"layers \[2, 5\] are not in model 'tiny'; expected 0 to 1"):
        check_layers("tiny", [1, 2, 5], 2)


def test_the_configuration_that_is_published_is_valid():
    published = yaml.safe_load((Path(__file__).parents[2] / "workflow_config.yaml").read_text())
    config = load(published)
    assert config.training["default"].effective_batch_size == 32 and set(config.studies) >= {"main", "lambda_sweep"}


def test_an_overlay_changes_the_kind_of_an_entry():
    """What it inherits and the new kind doesn't know is taken away by null."""
    source = {"hub": "a/b", "revision": "main"} | {"hub": None, "revision": None, "files": "folder"}
    assert load(edited(models__tiny__source=source)).models["tiny"].source.files == "folder"
    condition = edited()["conditions"]["layerwise"] | {"layers": [0]} | {"layers": None, "target": "logits"}
    assert load(edited(conditions__layerwise=condition)).conditions["layerwise"].loss == "forward_kl"
