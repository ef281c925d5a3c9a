"""Only versions whose internals are known are worked with."""

import re
from importlib import metadata
from pathlib import Path

import pytest

from fewshot_distillation.runtime.internals import TESTED, untested

ENVS = Path(__file__).resolve().parents[2] / "envs"


@pytest.mark.parametrize("package", TESTED)
def test_another_version_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, package: str):
    monkeypatch.setattr(metadata, "version", lambda name: "99.0" if name == package else TESTED[name])
    assert untested(package) == (
        f"expected {package} {TESTED[package]}, got 99.0: this workflow relies on internals of the version with which"
        f" it was tested; install it with `pip install {package}=={TESTED[package]}`"
    )
    assert [untested(name) for name in TESTED if name != package] == [None, None] and untested("local") is None


def test_the_versions_are_those_that_are_installed_for_users():
    pins = dict(re.findall(r"^(snakemake\S*)==(\S+)", "".join(p.read_text() for p in ENVS.glob("*.txt")), re.M))
    assert TESTED.items() <= pins.items()
