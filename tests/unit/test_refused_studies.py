"""Studies whose entries are valid one by one, and which would not measure what they say."""

from pathlib import Path

import pytest
import yaml

from configurations import error_of, grid
from fewshot_distillation.config.load import load
from tiny import edited

ROOT = Path(__file__).resolve().parents[2]
CASES = {
    # What would be trained under another's name, or not be what it says.
    "a window after the last step": (
        {"conditions__layerwise__lambda_steps": [100, 200]},
        ["conditions.layerwise.lambda_steps: expected to begin within the 6 steps of schedule 'short', got [100, 200]"],
    ),
    "more examples than labelled ones": (
        {
            "labelled": 4,
            "conditions__sft__examples": "labelled",
            "studies__main": grid(conditions=["sft"], train_examples=[8, 4]),
        },
        ["studies.main.train_examples: expected at most the 4 labelled training examples of condition 'sft', got 8"],
    ),
    "more examples than there are": (
        {"studies__main": grid(conditions=["sft"], train_examples=[13, 12])},
        ["studies.main.train_examples: expected at most the 12 training examples of condition 'sft', got 13"],
    ),
    "one shuffled demonstration": (
        {"teachers__one": {"shots": 1, "content": "shuffled_answers"}},
        ["teachers.one: content: shuffled_answers needs two demonstrations at least", "shots: 1"],
    ),
    "one shuffled demonstration in phase 0": (
        {
            "teachers__other": {"shots": 2, "content": "shuffled_answers"},
            "icl_gap__phase0": {"models": ["tiny"], "teacher": "other", "shots": [0, 1]},
        },
        ["icl_gap.phase0.shots: one demonstration has no other's answer"],
    ),
    "a divergence that is none": (
        {"conditions__logit_kl__divergence": "reverse_kl", "conditions__logit_kl__missing_probability": "teacher_only"},
        [
            "conditions.logit_kl: missing_probability: teacher_only can't go with reverse_kl",
            "set renormalise or bucket",
        ],
    ),
    # Comparisons.
    "a comparison in two families": (
        {"comparisons": {"a": [["layerwise", "sft"]], "b": [["logit_kl", "sft"], ["layerwise", "sft"]]}},
        ["comparisons.b.1: expected each comparison once, got 'layerwise' and 'sft'", "comparisons.a.0 compares"],
    ),
    "a comparison twice in a family": (
        {"comparisons": {"a": [["layerwise", "sft"], ["layerwise", "sft"]]}},
        ["comparisons.a.1: expected each comparison once", "comparisons.a.0"],
    ),
    "a comparison and its reverse": (
        {"comparisons": {"a": [["layerwise", "sft"], ["sft", "layerwise"]]}},
        ["comparisons.a.1: expected each comparison once", "comparisons.a.0"],
    ),
    "a comparison with a prompt that isn't evaluated": (
        {"comparisons": {"a": [["logit_kl", "fixed"]]}, "baselines": None},
        ["comparisons.a.0: expected a prompt", "got 'fixed', which is not among zeroshot, fewshot; add it to `baseli"],
    ),
    "a comparison with a condition that isn't trained": (
        {"comparisons": {"a": [["logit_kl", "sft"]]}, "studies__main": grid()},
        ["comparisons.a.0: expected a condition that is trained, got 'logit_kl'", "add it to one"],
    ),
    "a comparison across schedules": (
        {
            "comparisons": {"a": [["logit_kl", "sft"]]},
            "studies__main": grid(),
            "studies__other": grid(conditions=["logit_kl"], schedules=["long"]),
        },
        ["comparisons.a.0: expected 'logit_kl' and 'sft' to be trained", "got tiny long and tiny short; add a study"],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), CASES.values(), ids=CASES)
def test_one_sentence_says_what_would_be_measured_otherwise(changes: dict, expected: list[str]):
    text = error_of(edited(**changes))
    assert "\n" not in text
    for part in expected:
        assert part in text, text


def test_comparisons_of_studies_that_are_left_out_wait():
    """Who builds one study of several is not asked to take out the comparisons of the others."""
    studies = {"studies__main": grid(), "studies__other": grid(conditions=["sft", "logit_kl"])}
    families = {"a": [["layerwise", "sft"]], "b": [["logit_kl", "sft"], ["logit_kl", "fixed"]]}
    more = {"conditions__logit_kl__teacher": "fixed", "baselines": None, "comparisons": families}
    assert load(edited(**studies, **more)).built.keys() > {"main", "other"}
    assert list(load(edited(**studies, **more, build=["main"])).built) == ["main"]
    assert "comparisons.b.1" in error_of(edited(**studies, **more | {"baselines": ["zeroshot"]}, build=["main"]))


def test_comparisons_of_an_optional_study_wait():
    """The default configuration with a comparison of what only `controls` trains."""
    raw = yaml.safe_load((ROOT / "workflow_config.yaml").read_text())
    raw["comparisons"] = {"mine": [["answer_mse", "sft"]]}
    assert "controls" not in load(raw).built and "controls" in load(raw | {"build": ["controls"]}).built


def test_what_is_as_large_as_it_says_is_trained():
    """Windows and subsets that end where the study does, studies that aren't built, and a few shuffled answers."""
    more = {"labelled": 4, "conditions__sft__examples": "labelled", "conditions__layerwise__lambda_steps": [6, 9]}
    load(
        edited(
            **more, studies__main=grid(train_examples=[4]), teachers__two={"shots": 2, "content": "shuffled_answers"}
        )
    )
    left = grid(conditions=["late"], train_examples=[99], optional=True)
    late = {"label": "L", "target": "hidden_states", "teacher": "fewshot", "lambda_steps": [100, 200]}
    load(edited(conditions__late=late, studies__left=left))
