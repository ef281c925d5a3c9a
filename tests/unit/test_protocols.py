"""The protocols of the published tables, and the studies that keep to them."""

from pathlib import Path

import pytest
import yaml

from fewshot_distillation.analysis.collect import RESULT, names, read_published
from fewshot_distillation.analysis.protocols import differences, is_part, models_apart
from fewshot_distillation.config.analysis import aggregate_spec, analysis_spec, plot_spec
from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.catalogue import BASE
from fewshot_distillation.config.chosen_study import merged, with_settings
from fewshot_distillation.config.load import load
from fewshot_distillation.config.own_protocol import own_protocol
from fewshot_distillation.config.published import Published, load_published
from fewshot_distillation.config.study import Study

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ("as_executed", "as_executed_later", "as_executed_timing")


@pytest.fixture(scope="module")
def raw() -> dict:
    return yaml.safe_load((ROOT / "workflow_config.yaml").read_text())


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published(ROOT / "published.yaml")


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    frame = read_published(ROOT / "published.yaml")
    return [
        row | dict(zip(RESULT, name, strict=True))
        for row, name in zip(frame.to_dict("records"), names(frame), strict=True)
    ]


def study(raw: dict, target: str = "all", above: dict | None = None) -> Study:
    return Study(load(with_settings(raw, [target], above or {})))


def test_every_published_table_has_a_protocol(published: Published):
    """And one that says all that there is to say of its rows."""
    for name, table in published.tables.items():
        assert table.protocol is not None, f"{name} has no protocol"
        given = table.protocol.model_dump()
        assert [point for point, value in given.items() if value is None and point != "apart"] == [], name
        for row in table.rows:
            assert row.condition == BASE or row.condition in table.protocol.objective, (name, row.condition)
        assert table.protocol.commit in published.source.commits
        assert table.rebuilt_by in STUDIES, name


@pytest.mark.parametrize("target", STUDIES)
def test_as_executed_keeps_to_the_published_protocols(raw: dict, published: Published, rows: list[dict], target: str):
    own = own_protocol(study(raw, target))
    mine = [row for row in rows if published.tables[row["table"]].rebuilt_by == target]
    assert mine
    for row in mine:
        assert is_part(own, row), (target, row)
        protocol = published.tables[row["table"]].protocol
        # What no setting reproduces is said, and nothing else differs.
        assert differences(protocol, own, row) == ([protocol.apart] if protocol.apart else []), row["table"]
    assert models_apart(published, own) == ({"gemma-3-270m"} if target == "as_executed_later" else set())


def test_other_models_and_fewer_questions_are_no_reproduction(raw: dict, published: Published, rows: list[dict]):
    above = {
        "datasets": {"gsm8k": {"limit_test": 100}}, "precision": "fp32",
        "models": {"qwen3-1.7b": {"source": {"hub": "Qwen/Qwen3-0.6B", "revision": "main"}}},
    }  # fmt: skip
    own = own_protocol(study(merged(raw, above), "as_executed", above))
    row = next(row for row in rows if row["table"] == "full_1.7b")
    assert "; ".join(differences(published.tables["full_1.7b"].protocol, own, row)) == (
        "model: Qwen/Qwen3-1.7B, here Qwen/Qwen3-0.6B; precision: bf16, here fp32; evaluation set: rows none, here 100"
    )


def test_local_files_are_taken_to_be_what_their_names_say(raw: dict, published: Published, rows: list[dict]):
    elsewhere = {"hub": None, "revision": None}
    above = {
        "datasets": {"gsm8k": {"source": elsewhere | {"name": None, "files": {"train": "a", "test": "b"}}}},
        "models": {"qwen3-1.7b": {"source": elsewhere | {"files": "mine"}}},
    }  # fmt: skip
    own = own_protocol(study(merged(raw, above), "as_executed", above))
    row = next(row for row in rows if row["table"] == "full_1.7b")
    assert differences(published.tables["full_1.7b"].protocol, own, row) == []


def test_all_stays_the_study_as_written(raw: dict, published: Published, rows: list[dict]):
    """Every row of it differs from what was published, and says in what."""
    written = study(raw)
    assert written.config.results == "results" and len(written.runs) == 13
    own, found = own_protocol(written), {}
    for row in rows:
        if is_part(own, row):
            protocol = published.tables[row["table"]].protocol
            found[row["table"], row["condition"], row["shots"]] = "; ".join(differences(protocol, own, row))
    assert all(found.values()) and models_apart(published, own) == {"qwen3-1.7b", "qwen3-8b", "qwen3-4b-instruct"}
    same = "prompt: question “Question: {question}”, here “{question}”"
    assert found["full_1.7b", "layerwise", 0] == (
        f"objective: reduction mean, here sum; schedule: scheduler_steps_per_step 2, here 1; {same}; "
        "scorer: study_code, here strict"
    )
    assert found["phase0", "base", 0].endswith("questions: 16 drawn with seed 42, here the first 16")
    assert "thinking: as the chat template has it, here enable_thinking off" in found["main_comparison", "base", 8]


def test_what_is_not_built_makes_nothing_stale(raw: dict):
    """The optional studies, with all that only they use, are no part of any job's spec."""
    lean = {key: dict(value) if isinstance(value, dict) else value for key, value in raw.items()}
    lean["studies"] = {name: one for name, one in raw["studies"].items() if not one.get("optional")}
    used = {name for one in lean["studies"].values() for name in one["conditions"]}
    lean["conditions"] = {name: one for name, one in raw["conditions"].items() if name in used}
    lean["models"] = {name: one for name, one in raw["models"].items() if name.startswith("qwen3")}
    lean["training"] = {"default": raw["training"]["default"]}
    lean["teachers"] = {name: raw["teachers"][name] for name in ("zeroshot", "fewshot")}
    assert specs(study(raw)) == specs(study(lean))


def specs(one: Study) -> set[str]:
    found = {one.train(*map(str, run)).model_dump_json() for run in one.runs}
    found |= {one.eval_checkpoint(*map(str, run)).model_dump_json() for run in one.runs}
    found |= {one.precompute_logits(*each).model_dump_json() for each in one.teachers_in_use}
    found |= {one.fetch_model(model).model_dump_json() for model in one.models}
    found |= {plot_spec(one, "accuracy_curve", model).model_dump_json() for model in one.models}
    return found | {aggregate_spec(one).model_dump_json(), analysis_spec(one, {}).model_dump_json()}


def test_settings_lie_between_the_configuration_and_the_command_line(raw: dict):
    assert study(raw, "as_executed").config.conditions["layerwise"].reduction == "mean"
    above = {"results": "mine", "training": {"default": {"scheduler_steps_per_step": 3}}}
    chosen = study(merged(raw, above), "as_executed", above).config
    assert (chosen.results, chosen.training["default"].scheduler_steps_per_step) == ("mine", 3)
    assert chosen.metric == "study_code" and chosen.build == ["as_executed"]
    by_build = with_settings(raw | {"build": ["as_executed"]}, ["all"], {})
    assert load(by_build).metric == "study_code", "as `--config build='[as_executed]'` does"
    assert "as_executed" not in with_settings(raw, ["results/runs/as_executed"], {}).get("build", [])


def test_settings_that_cannot_be_merged(raw: dict):
    with pytest.raises(ConfigError, match="'all' and 'as_executed' are different studies"):
        with_settings(raw, ["all", "as_executed"], {})
    with pytest.raises(ConfigError, match="'as_executed' has settings of its own; build it alone"):
        with_settings(raw | {"build": ["as_executed", "controls"]}, ["all"], {})
    loose = {"studies": {"main": raw["studies"]["main"] | {"settings": {"seeds": [1]}}}}
    with pytest.raises(ConfigError, match="settings belong to an optional study"):
        load(raw | {"studies": raw["studies"] | loose["studies"]})
    unknown = raw["studies"] | {"main": raw["studies"]["main"] | {"along": ["nothing"]}}
    with pytest.raises(ConfigError, match="studies.main.along: unknown name 'nothing'"):
        load(raw | {"studies": unknown})
