"""Which files rules read: of runs and baselines, of what a condition learns from, and of figures."""

from types import SimpleNamespace

import pytest

from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.layout import Layout
from fewshot_distillation.config.study_figures import StudyFigures
from tiny import study

WRITTEN = "<results>/teachers/tiny/fewshot/written"


def layout(**changes) -> Layout:
    return Layout(study(**changes))


def figures(plan: Layout, published: tuple[str, ...] = (), apart: tuple[str, ...] = ()) -> StudyFigures:
    return StudyFigures(plan, list(published), lambda: set(apart))


def of(condition: str) -> SimpleNamespace:
    return SimpleNamespace(model="tiny", condition=condition)


def test_every_run_and_baseline_is_there_once():
    plan = layout()
    readers = plan.answered("accuracy.csv")
    expected = plan.runs(plan.study.runs, "accuracy.csv") + plan.baselines("tiny", "accuracy.csv")
    assert sorted(readers) == sorted(expected) and len(set(readers)) == len(readers) == 5 + 2
    assert readers[:2] == [f"<results>/baselines/tiny/{prompt}/all/accuracy.csv" for prompt in ("zeroshot", "fewshot")]
    assert "lambda0.5" in readers[3] and "lambda0.1" in readers[5], "the main comparison comes before the sweep"


def test_a_target_is_read_from_its_teacher_s_cache():
    plan = layout(conditions__both={
        "label": "E", "targets": [
            {"target": "hidden_states", "teacher": "fixed", "lambda": 0.5},
            {"target": "logits", "teacher": "fewshot", "top_k": 16, "span": "answer", "lambda": 1},
        ],
    }, studies__more={"models": ["tiny"], "conditions": ["both"], "schedules": ["short"]})  # fmt: skip
    assert plan.targets(of("sft")) == []
    assert plan.targets(of("both")) == [
        "<results>/teachers/tiny/fixed/question/activations.safetensors",
        "<results>/teachers/tiny/fixed/question/meta.json",
        "<results>/teachers/tiny/fewshot/reference/logits.safetensors",
        "<results>/teachers/tiny/fewshot/reference/audit.json",
    ]
    assert plan.teachers("meta.json") == [
        f"<results>/teachers/tiny/{cache}/meta.json"
        for cache in ("fewshot/question", "fewshot/reference", "fixed/question")
    ]


@pytest.mark.parametrize(("keep", "judged"), [("all", []), ("correct", [f"{WRITTEN}/judged.parquet"])])
def test_answers_that_a_teacher_wrote_and_which_are_right(keep: str, judged: list[str]):
    plan = layout(conditions__own={"label": "F", "answers": "fewshot", "keep": keep})
    assert plan.written(of("own")) == [f"{WRITTEN}/predictions.parquet"] and plan.judged(of("own")) == judged
    assert plan.written(of("sft")) == plan.judged(of("sft")) == []
    texts = {
        text: plan.text_read(SimpleNamespace(model="tiny", text=text)) for text in ("question", "reference", "fewshot")
    }
    assert texts == {"question": [], "reference": [], "fewshot": [f"{WRITTEN}/predictions.parquet"]}


def test_phase_zero_asks_each_prompt():
    files = layout().asked_in_phase("phase0", "judged.parquet")
    assert files == [f"<results>/baselines/tiny/{prompt}/first4/judged.parquet" for prompt in ("zeroshot", "fewshot")]


def test_a_lambda_may_be_typed_as_a_whole_number_or_not():
    named = study().named_runs()
    assert named["layerwise_2_tiny"] == named["layerwise_2.0_tiny"] and "layerwise_0.50_tiny" not in named
    assert {run.lam for run in named["layerwise_0.5_tiny"]} == {"0.5"}


def test_figures_are_those_that_have_runs_or_a_phase():
    drawn = figures(layout()).captions
    assert {"figures/icl_gap_phase0.png", "figures/tiny/lambda_sweep.png", "figures/tiny/main_comparison.png"} <= set(
        drawn
    )
    assert next(iter(drawn)) == "figures/icl_gap_phase0.png"
    without = figures(
        layout(icl_gap={}, studies={"main": {"models": ["tiny"], "conditions": ["sft"], "schedules": ["short"]}})
    )
    assert not {"figures/icl_gap_phase0.png", "figures/tiny/lambda_sweep.png"} & set(without.captions)
    with pytest.raises(
        ConfigError, match="'lambda_sweep': the configuration has no runs of model 'tiny' to show in it"
    ):
        without.runs("lambda_sweep", "tiny")


def test_a_figure_reads_what_it_declares():
    plan = layout()
    of_model, of_phase = SimpleNamespace(model="tiny"), SimpleNamespace(phase="phase0")
    drawn = figures(plan)
    assert drawn.accuracy("icl_gap", "accuracy.csv")(of_phase) == plan.asked_in_phase("phase0", "accuracy.csv")
    assert drawn.metrics("main_comparison")(of_model) == []
    assert len(drawn.metrics("loss_curves")(of_model)) == 3 and not drawn.accuracy("loss_curves", "accuracy.csv")(
        of_model
    )
    bars = drawn.accuracy("main_comparison", "accuracy.csv")(of_model)
    assert bars[:2] == plan.baselines("tiny", "accuracy.csv") and all("/runs/" in path for path in bars[2:])


def test_validation_and_reruns_are_read_where_the_configuration_has_them():
    of_model = SimpleNamespace(model="tiny")
    plan = layout(datasets__problems__validation=2, reruns__small={"batch_tokens": 256})
    found = figures(plan).accuracy("main_comparison", "accuracy.csv")(of_model)
    runs = [path for path in found if "/runs/" in path]
    assert [path for path in runs if "/validation/" in path] == [
        path.replace("accuracy.csv", "validation/accuracy.csv") for path in runs[: len(runs) // 2]
    ]
    assert plan.reruns("judged.parquet") == [
        f"<results>/reruns/tiny/small/{prompt}/judged.parquet" for prompt in ("zeroshot", "fewshot")
    ]
    assert layout().reruns("judged.parquet") == []


def test_published_accuracies_are_shown_as_what_they_are():
    plan = layout()
    shown = figures(plan, published=("published.yaml",), apart=("tiny",))
    assert shown.caption("main_comparison").endswith("Rings are the published accuracies.")
    assert shown.spec("main_comparison", model="tiny").other_protocol
    assert not figures(plan, published=("published.yaml",)).spec("main_comparison", model="tiny").other_protocol
    assert not figures(plan, apart=("tiny",)).spec("main_comparison", model="tiny").other_protocol
    assert shown.spec("icl_gap", phase="phase0").other_protocol
