"""Compiled layers: the same values as without, one compilation for all lengths, and the same bytes after a resume."""

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch._dynamo.utils import counters
from transformers import AutoModelForCausalLM

from fewshot_distillation.modeling.compile import compile_layers, worth_compiling
from fewshot_distillation.modeling.hidden_states import Capture, decoder_of
from fewshot_distillation.modeling.packed import Selection, pack, packed_hidden
from fewshot_distillation.modeling.packed_attention import use_packed_attention
from fewshot_distillation.student.compiled import compile_and_rehearse
from fewshot_distillation.student.gradients import term_gradients
from tiny import make_model, random_prompts
from training import Setup, adapter_of


@pytest.fixture(autouse=True)
def environment(monkeypatch) -> Iterator[None]:
    """Puts back afterwards what says where compiled code lies, and what may be nondeterministic."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "")
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


class Run:
    """A model with an adapter that learns from batches of different lengths."""

    def __init__(self, folder: Path, cache: Path | None) -> None:
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).requires_grad_(False)
        assert use_packed_attention(base)
        torch.manual_seed(0)
        config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
        self.model = get_peft_model(base, config).train()
        self.decoder = decoder_of(base)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        # Not Adam, which would make full steps of gradients that are nothing but rounding.
        self.optimizer = torch.optim.SGD(self.trained, lr=0.01, momentum=0.9)
        if cache is not None:
            torch._dynamo.reset()
            counters.clear()
            compile_layers(self.decoder, cache)

    def step(self, number: int) -> list[Tensor]:
        """The loss, its gradients, and the weights after the step."""
        packed = pack(random_prompts(2 + number, 400, 3, 40, seed=number))
        with Capture(self.decoder).of(packed, Selection(torch.tensor([1, 4]), packed.tokens)) as layers:
            hidden = packed_hidden(self.decoder, packed)
        direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
        loss = (hidden @ direction).square().mean() + layers[0].square().mean()
        loss.backward()
        gradients = [p.grad.clone() for p in self.trained]
        self.optimizer.step()
        self.optimizer.zero_grad()
        return [loss.detach(), *gradients, *(p.detach().clone() for p in self.trained)]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles for a CPU with g++")
def test_compiled_layers(tmp_path: Path):
    folder, cache = make_model(tmp_path / "model"), tmp_path / "cache"
    run, plain = Run(folder, cache), Run(folder, None)
    saved, graphs = None, None
    for number in (1, 2, 3):
        found = run.step(number)
        for one, other in zip(found, plain.step(number), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * max(1.0, other.abs().max().item()))
        graphs = graphs or counters["stats"]["unique_graphs"]
        if number == 2:
            saved = copy.deepcopy([run.trained, run.optimizer.state_dict()])
    assert graphs and any(cache.rglob("*.so"))
    assert counters["stats"]["unique_graphs"] == graphs, "one compilation serves both layers and all lengths"

    again = Run(folder, cache)
    again.step(1)  # kernels are chosen for the first batch
    assert counters["inductor"]["fxgraph_cache_hit"] > 0 and not counters["inductor"]["fxgraph_cache_miss"]
    with torch.no_grad():
        for p, weight in zip(again.trained, saved[0], strict=True):
            p.copy_(weight)
    again.optimizer.load_state_dict(saved[1])
    assert all(torch.equal(one, other) for one, other in zip(again.step(3), found, strict=True))
    torch._dynamo.reset()


def test_a_run_that_compiles(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    """Its first pass, which is there for the compiler, leaves no trace in what is trained."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled.append(function) or function)
    setup = Setup(tmp_path / "teacher", model_folder, splits[0])
    weights = []
    for choice in (True, False, "auto"):
        trainer = setup.trainer("layerwise", training__default__compile=choice)
        compile_and_rehearse(trainer, tmp_path / "cache")
        trainer.step(1)
        weights.append(adapter_of(trainer))
    assert len(compiled) == 2, "the layers of the first run"
    assert all(torch.equal(weights[0], other) for other in weights[1:])


def test_gradients_are_measured_through_compiled_layers(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    """Without a compiler for the kernels: what may be done with a compiled layer is decided before those are made."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled(function, backend="aot_eager", dynamic=True))
    setup = Setup(tmp_path / "teacher", model_folder, splits[0])
    found = []
    for choice in (True, False):
        trainer = setup.trainer("layerwise", training__default__compile=choice, training__default__lora__dropout=0.0)
        compile_and_rehearse(trainer, tmp_path / "cache")
        trainer.step(1)  # the first B is zero, and so is A's gradient
        found.append([term_gradients(trainer, 2), trainer.step(2)["loss"]])
    assert len(found[0][0]) == 3 and found[0][0] == pytest.approx(found[1][0], rel=1e-3)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-4)
    torch._dynamo.reset()


CPU, CUDA = torch.device("cpu"), torch.device("cuda")
CHOICES = [(True, CPU, 1, True), (False, CUDA, 10**6, False), ("auto", CPU, 10**6, False), ("auto", CUDA, 100, False),
           ("auto", CUDA, 1000, True)]  # fmt: skip


@pytest.mark.parametrize(("choice", "device", "passes", "compiled"), CHOICES)
def test_what_is_worth_compiling(choice, device: torch.device, passes: int, compiled: bool):
    assert worth_compiling(choice, device, 28, passes) == compiled
