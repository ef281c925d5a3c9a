"""Targets of a command line, as Snakemake's own parser reads them."""

import sys

import pytest

from fewshot_distillation.runtime.internals import Internals

NAMES = ["controls", "as_executed"]
LINES = {
    "a target": ("controls --cores 2", ["controls"]),
    "with others": ("all controls -n", ["all", "controls"]),
    "the value of an option before it": ("controls --profile profiles/local --quiet all", ["controls"]),
    "only the value of an option": ("all --until controls", []),
    "none of them": ("all --cores 2", []),
}


@pytest.mark.parametrize(("line", "expected"), LINES.values(), ids=LINES)
def test_a_name_is_a_target_only_where_snakemake_takes_it_for_one(monkeypatch, line: str, expected: list[str]):
    monkeypatch.setattr(sys, "argv", ["snakemake", *line.split()])
    assert sorted(Internals(None).targets(NAMES)) == expected
