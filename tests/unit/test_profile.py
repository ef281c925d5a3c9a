"""What the profile for a cluster says, apart from what a real one shows."""

from pathlib import Path

import pytest
import yaml

from fewshot_distillation.config.study import GPU_RULES

PROFILE = yaml.safe_load((Path(__file__).resolve().parents[2] / "profiles" / "slurm" / "config.yaml").read_text())
ALLOCATIONS = {"default": PROFILE["default-resources"]} | PROFILE["set-resources"]


@pytest.mark.parametrize("resource", ["mem_mb", "runtime"])
@pytest.mark.parametrize("rule", ALLOCATIONS)
def test_every_attempt_gets_more(rule: str, resource: str):
    first, second, third = (eval(str(ALLOCATIONS[rule][resource]), {"attempt": attempt}) for attempt in (1, 2, 3))
    assert 0 < first < second < third


def test_rules_with_gpus_and_no_others_are_allotted_them():
    assert set(PROFILE["set-resources"]) == set(GPU_RULES)
    assert {allocation["gpu_model"] for allocation in PROFILE["set-resources"].values()} == {"a100"}
    assert not {"gpu", "gpu_model", "gres"} & set(PROFILE["default-resources"])
