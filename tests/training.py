"""Training runs on the tiny model, for the tests of trainer, resume and evaluation."""

import logging
from pathlib import Path

import torch

from fewshot_distillation.config.catalogue import Training
from fewshot_distillation.config.machine import Machine
from fewshot_distillation.config.specs import TrainSpec
from fewshot_distillation.config.study import Study
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.runtime.files import folder_digests, write_json
from fewshot_distillation.runtime.workspace import Workspace
from fewshot_distillation.student.examples import build_streams
from fewshot_distillation.student.model import add_lora
from fewshot_distillation.student.run import TrainInputs, train
from fewshot_distillation.student.schedule import LearningRate
from fewshot_distillation.student.state import save_checkpoint, save_state
from fewshot_distillation.student.targets import TargetCache
from fewshot_distillation.student.trainer import Trainer
from fewshot_distillation.teacher.activations import precompute_activations
from fewshot_distillation.teacher.logits import precompute_logits
from tiny import study, train_spec

logging.getLogger("fewshot_distillation").setLevel(logging.WARNING)
LAMBDA = {"sft": "0", "layerwise": "0.5", "logit_kl": "0.5"}
OUTPUTS = ("metrics", "tensorboard", "checkpoints")


class Setup:
    """A fetched model, a training split and the teacher's caches for it; `changes` are those of the configuration."""

    def __init__(self, folder: Path, model: Path, train_path: Path, **changes) -> None:
        self.folder, self.model, self.train_path, self.changes = folder, model, train_path, changes
        folder.mkdir(parents=True, exist_ok=True)
        self.made: dict[Path, tuple[Path, Path]] = {}

    def study(self, **changes) -> Study:
        return study(**self.changes | changes)

    def spec(self, condition: str, **changes) -> TrainSpec:
        return train_spec(condition, LAMBDA.get(condition, "0.5"), **self.changes | changes)

    def cache(self, teacher: str, text: str, kind: str, **changes) -> tuple[Path, Path]:
        """A teacher's cache and its description, made once."""
        specs, folder = self.study(**changes), self.folder / teacher / text
        activations = specs.precompute_activations("tiny", teacher, text)
        hidden = folder / "activations.safetensors", folder / "meta.json"
        if not hidden[0].exists():
            (folder / "a").mkdir(parents=True, exist_ok=True)
            precompute_activations(activations, self.model, self.train_path, folder / "a", *hidden)
        if kind == "hidden_states":
            return hidden
        spec = specs.precompute_logits("tiny", teacher, text)
        folder = folder / spec.digest()
        logits = folder / "logits.safetensors", folder / "audit.json"
        if not logits[0].exists():
            (folder / "b").mkdir(parents=True, exist_ok=True)
            precompute_logits(spec, self.model, *hidden, folder / "b", *logits)
        return logits

    def inputs(self, condition: str, **changes) -> TrainInputs:
        pairs = self.study(**changes).targets(condition)
        caches = [self.cache(target.teacher, text, target.target, **changes) for target, text in pairs]
        return TrainInputs(self.train_path, caches)

    def trainer(self, condition: str, gradient_checkpointing: bool = False, **changes) -> Trainer:
        spec, rows = self.spec(condition, **changes), read_jsonl(self.train_path)
        builder = PromptBuilder.of_model(self.model, spec.model.chat_template, spec.model.wording)
        streams = build_streams(spec, rows, builder)
        caches = self.inputs(condition, **changes).caches
        pairs = zip(spec.learning.targets, caches, strict=True)
        targets = [TargetCache(target, *files, len(rows)) for target, files in pairs]
        return Trainer(spec, self.model, streams, targets, gradient_checkpointing)

    def workspace(self, folder: Path) -> Workspace:
        names = {"metrics": "metrics.csv", "tensorboard": "tensorboard", "checkpoints": "checkpoints"}
        outputs = {name: folder / "run" / names[name] for name in OUTPUTS}
        return Workspace(folder / "state" / "train" / "1", outputs, {"test": 1})

    def train(
        self,
        condition: str,
        folder: Path,
        save_state_every: int = 2,
        trackers: tuple = ("tensorboard",),
        log_gradients_every: int = 0,
        **changes,
    ) -> Path:
        """Train, or continue, as the program does; the folder of the published outputs."""
        work = self.workspace(folder)
        with work.opened() as unfinished:
            if unfinished:
                spec, inputs = self.spec(condition, **changes), self.inputs(condition, **changes)
                machine = Machine(
                    trackers=list(trackers), save_state_every=save_state_every, log_gradients_every=log_gradients_every
                )
                train(spec, self.model, inputs, work, machine)
        return folder / "run"


def interrupted(setup: Setup, folder: Path, condition: str, done: int, steps: int) -> tuple[list[dict], list[dict]]:
    """The rows of a run, and those of one that is saved after `done` steps and continued in another process's place.

    Both end with the same weights, to the bit: every random draw is a function of seed, step, and micro batch.
    """
    whole, first = setup.trainer(condition), setup.trainer(condition)
    expected = [whole.step(step) for step in range(1, steps + 1)]
    rows = [first.step(step) for step in range(1, done + 1)]
    save_state(folder, done, first.student, first.optimizer.optimizer, rows)
    torch.manual_seed(999)
    second = setup.trainer(condition)
    found, rows = second.resume(folder)
    assert found == done
    rows += [second.step(step) for step in range(done + 1, steps + 1)]
    assert torch.equal(adapter_of(second), adapter_of(whole))
    return expected, rows


def learning_rates(training: Training, max_steps: int) -> list[float]:
    """Return the learning rate of each optimizer step, from the first to the last."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=training.learning_rate)
    course = LearningRate(optimizer, training, max_steps)
    return [course.continue_after(step)[0] for step in range(max_steps)]


def adapter_of(trainer: Trainer) -> torch.Tensor:
    """All trained weights in one vector."""
    return torch.cat([p.detach().flatten() for p in trainer.student.parameters() if p.requires_grad])


def strange_adapters(folder: Path, model_folder: Path, steps: tuple[int, ...], std: float) -> Path:
    """Checkpoints with adapters that change what is generated, each in another way, and their manifest."""
    for step in steps:
        adapted = add_lora(load_model(model_folder, "fp32"), train_spec().lora, seed=step)
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=std)
        save_checkpoint(folder, step, adapted, "tiny")
    write_json(folder / "manifest.json", {"files": folder_digests(folder)})
    return folder
