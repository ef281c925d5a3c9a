"""`make study`: what its profile asks for."""

from pathlib import Path

import pytest
import yaml

from fewshot_distillation.config.analysis import aggregate_spec
from fewshot_distillation.config.load import load
from fewshot_distillation.config.study import Study

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(load(yaml.safe_load((ROOT / "profiles" / "study" / "study.yaml").read_text())))


def test_three_studies_with_three_seeds_share_their_runs(study: Study):
    assert set(study.config.built) == {"answer_level", "controls", "data_efficiency"}
    assert {run.seed for run in study.runs} == {1, 2, 3} and len(study.runs) == 21


def test_every_number_of_examples_is_compared_and_drawn(study: Study):
    (model,) = study.models
    spec = aggregate_spec(study)
    sizes = {group["schedule"] for group in spec.main[model] if group["condition"] == "answer_kl"}
    assert sizes == {"tiny", "tiny@n24"} and set(spec.families) == {"answer_level", "controls", "data_efficiency"}
    for figure in ("data_efficiency", "gradients", "accuracy_curve"):
        assert study.runs_of_figure(figure, model), figure


def test_make_has_its_target():
    assert "snakemake all --profile profiles/study" in (ROOT / "Makefile").read_text()
