"""Training runs on the tiny model, for the tests of trainer, resume and evaluation."""

import logging
from pathlib import Path

import torch

from fewshot_distillation.config.specs import TrainSpec
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.runtime.files import folder_digests, write_json
from fewshot_distillation.runtime.workspace import Workspace
from fewshot_distillation.student.batches import build_sequences
from fewshot_distillation.student.model import add_lora
from fewshot_distillation.student.state import save_checkpoint
from fewshot_distillation.student.targets import Targets
from fewshot_distillation.student.trainer import Trainer, train
from fewshot_distillation.teacher.activations import precompute_activations
from fewshot_distillation.teacher.logits import precompute_logits
from tiny import study, train_spec

logging.getLogger("fewshot_distillation").setLevel(logging.WARNING)
LAMBDA = {"sft": "0", "layerwise": "0.5", "logit_kl": "0.5"}
OUTPUTS = ("metrics", "tensorboard", "checkpoints")


class Setup:
    """A fetched model, a training split and the teacher's caches for it; `changes` are those of the configuration."""

    def __init__(self, folder: Path, model: Path, train_path: Path, **changes) -> None:
        self.model, self.train_path, self.changes = model, train_path, changes
        for name in ("a", "b"):
            (folder / name).mkdir(parents=True)
        hidden, meta = folder / "activations.safetensors", folder / "meta.json"
        logits, audit = folder / "logits.safetensors", folder / "audit.json"
        specs = study(**changes)
        precompute_activations(
            specs.precompute_activations("tiny", "fewshot"), model, train_path, folder / "a", hidden, meta
        )
        precompute_logits(specs.precompute_logits("tiny", "fewshot"), model, hidden, folder / "b", logits, audit)
        self.caches = {"sft": (None, None), "layerwise": (hidden, meta), "logit_kl": (logits, audit)}

    def spec(self, condition: str, **changes) -> TrainSpec:
        return train_spec(condition, LAMBDA[condition], **self.changes, **changes)

    def trainer(self, condition: str, gradient_checkpointing: bool = False, **changes) -> Trainer:
        spec = self.spec(condition, **changes)
        builder = PromptBuilder.of_model(self.model, spec.model.chat_template)
        sequences = build_sequences(read_jsonl(self.train_path), builder, spec.training.max_tokens)
        targets = Targets(spec, self.caches[condition][0], [1.0, 2.0], len(sequences))
        return Trainer(spec, self.model, sequences, builder.tokenizer.pad_token_id, targets, gradient_checkpointing)

    def workspace(self, folder: Path) -> Workspace:
        names = {"metrics": "metrics.csv", "tensorboard": "tensorboard", "checkpoints": "checkpoints"}
        outputs = {name: folder / "run" / names[name] for name in OUTPUTS}
        return Workspace(folder / "state" / "train" / "1", outputs, {"test": 1})

    def train(
        self, condition: str, folder: Path, save_state_every: int = 2, trackers: tuple = ("tensorboard",), **changes
    ) -> Path:
        """Train, or continue, as the program does; the folder of the published outputs."""
        work = self.workspace(folder)
        with work.opened() as unfinished:
            if unfinished:
                spec, (cache, audit) = self.spec(condition, **changes), self.caches[condition]
                train(spec, self.model, self.train_path, cache, audit, work, list(trackers), save_state_every)
        return folder / "run"


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
