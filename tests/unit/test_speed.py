"""Model FLOPs of a training step against what PyTorch counts, and what the log says of them."""

import time
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fewshot_distillation.hardware.speed import Speed, peak_of
from fewshot_distillation.runtime.progress import progress
from training import Setup


class Counted(TorchDispatchMode):
    """FLOPs of what is dispatched; of causal attention half of all pairs, and twice that in the backward pass."""

    total = 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **kwargs or {})
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **kwargs or {}, out_val=output)
        elif "flash_attention" in func.name():
            _, heads, length, features = args[0].shape
            self.total += heads * features * length**2 * (4 if "backward" in func.name() else 2)
        return output


@pytest.mark.parametrize("lora", [True, False], ids=["adapter", "all weights"])
def test_flops_of_a_step(tmp_path: Path, model_folder: Path, splits, lora: bool):
    """PyTorch leaves out what nothing asks for, such as the gradient of the first layer's input; that is little."""
    changes = {} if lora else {"training__default__adapter": "none"}
    trainer = Setup(tmp_path / "caches", model_folder, splits[0]).trainer("sft", **changes)
    with Counted() as counted:
        found = trainer.step(1)["flops"]
    assert found == pytest.approx(counted.total, rel=0.2)


def test_peaks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    assert peak_of(torch.device("cuda")) == 989e12 and peak_of(torch.device("cpu")) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some other GPU")
    assert peak_of(torch.device("cuda")) is None


def test_what_the_log_says(monkeypatch, caplog):
    clock = iter([0.0, 9.0, 10.0, 12.0, 12.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    speed = Speed(peak=1e12, devices=2)
    assert speed.recent() == "no step yet"
    assert [speed.of_step(tokens, 6e11) for tokens in (900, 1000, 500)] == [100.0, 1000.0, 250.0]
    assert speed.overall() == "500 tokens/s, 200 GFLOP/s, 20.0% of the GPU's peak"
    assert Speed(None, 1).overall() == "no step yet"
    monkeypatch.undo()
    with caplog.at_level("INFO", logger="fewshot_distillation"):
        assert list(progress(range(3), "train", every=0, note=lambda: "7 tokens/s")) == [0, 1, 2]
    assert "7 tokens/s" in caplog.text
