"""The training loop, one for all conditions: L = L_CE + λ L_distillation.

Every random draw is a function of seed, step and micro batch. So a run that continues from a saved state, or that is
spread over more processes, sees the same examples with the same dropout masks as an undisturbed run on one.
"""

import contextlib
import json
import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.tracking import filter_trackers
from accelerate.utils import DistributedType, ProjectConfiguration
from torch.nn.parallel import DistributedDataParallel
from transformers import get_scheduler

from ..config.sources import HubModel
from ..config.specs import TrainSpec
from ..data.prompts import PromptBuilder
from ..data.rows import read_jsonl
from ..modeling.load import device, dtype_for
from ..runtime.errors import JobError
from ..runtime.files import folder_digests, write_json
from ..runtime.processes import IN_PARTS
from ..runtime.progress import progress
from ..runtime.workspace import Workspace
from .batches import Sequence, build_sequences, collate, examples_of_step
from .model import Student, model_to_train
from .state import load_state, save_checkpoint, save_full_checkpoint, save_state
from .targets import Targets

log = logging.getLogger("fewshot_distillation")


class Trainer:
    """One training run; `train` does all of it."""

    def __init__(
        self, spec: TrainSpec, model_folder: Path, sequences: list[Sequence], pad_id: int, targets: Targets,
        gradient_checkpointing: bool = False,
    ) -> None:  # fmt: skip
        self.spec, self.sequences, self.pad_id, self.targets = spec, sequences, pad_id, targets
        self.position = getattr(spec.condition, "position", None)
        self.model_folder = model_folder
        where = device()
        self.dtype = dtype_for(spec.precision, where)  # in which the layers compute
        # FSDP and DeepSpeed take weights to the device a few at a time and leave parts there; all need not fit.
        home = torch.device("cpu") if IN_PARTS else where
        # Each process reads them: tied ones would be so no more if accelerate handed out those of the first process.
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        self.trained = model_to_train(spec, model_folder, home, gradient_checkpointing)
        self.student = Student(self.trained, spec.condition, self.dtype)
        # The student decides the precision, because what spreads models would round targets and gradients as well.
        self.accelerator = Accelerator(mixed_precision="no", cpu=where.type == "cpu")
        self._set_up_parts()
        trained = [p for p in self.student.parameters() if p.requires_grad]
        training = spec.training
        optimizer = torch.optim.AdamW(trained, lr=training.learning_rate, weight_decay=training.weight_decay)
        # The scheduler isn't given to accelerate, which would step it once per process instead of once per step.
        # Of its schedules only "constant" would leave out the warm-up.
        kind = "constant_with_warmup" if training.lr_scheduler == "constant" else training.lr_scheduler
        self.schedule = get_scheduler(kind, optimizer, training.warmup_steps, spec.schedule.max_steps)
        self.model, self.optimizer = self.accelerator.prepare(self.student, optimizer)
        self.model.train()
        self._check_processes()

    def _set_up_parts(self) -> None:
        """Agree with accelerate on how a model is spread.

        Raises:
            JobError: in a way that doesn't keep each parameter and what belongs to it apart from others.
        """
        kind, training = self.accelerator.distributed_type, self.spec.training
        if kind == DistributedType.DEEPSPEED:
            plugin = self.accelerator.state.deepspeed_plugin
            # Its engine clips gradients and takes the step; sums over micro batches are those of this trainer.
            plugin.deepspeed_config |= {
                "gradient_clipping": training.max_grad_norm,
                "gradient_accumulation_steps": 1,
                "train_micro_batch_size_per_gpu": 1,
                "train_batch_size": self.accelerator.num_processes,
            }
            if plugin.zero_stage == 3:
                import deepspeed

                deepspeed.zero.Init(module=self.student, config_dict_or_path=plugin.deepspeed_config)
        elif kind == DistributedType.MEGATRON_LM or (kind == DistributedType.FSDP and not self.accelerator.is_fsdp2):
            raise JobError(
                f"models.{self.spec.model.name}.accelerate: training can't be spread by {kind.value} in this form; "
                "use FSDP with fsdp_version: 2, as envs/accelerate-fsdp.yaml does, or DeepSpeed"
            )

    def _check_processes(self) -> None:
        training, processes = self.spec.training, self.accelerator.num_processes
        if (training.effective_batch_size // training.micro_batch_size) % processes:
            raise JobError(
                f"{training.effective_batch_size // training.micro_batch_size} micro batches a step can't be shared "
                f"evenly by {processes} processes; change training.micro_batch_size or the number of GPUs"
            )
        launched = int(os.environ.get("WORLD_SIZE", 1))
        if processes != launched:
            raise JobError(f"{launched} processes were launched, but they don't know of each other")

    def resume(self, folder: Path) -> tuple[int, list[dict]]:
        """Continue from the newest state in a folder; the number of steps done and their metrics."""
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED and any(folder.glob("step-*")):
            self.step(1)  # DeepSpeed makes its moments in a step; they and the weights are replaced
        done, metrics = load_state(folder, self.student, self.optimizer.optimizer)
        self.schedule.last_epoch = done
        groups = self.optimizer.optimizer.param_groups
        for group, peak, factor in zip(groups, self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True):
            group["lr"] = peak * factor(done)
        return done, metrics

    def step(self, step: int) -> dict[str, Any]:
        """Optimizer step number `step`, counted from 1; its metrics.

        Cross-entropy is averaged over the answer tokens of the effective batch and distillation over its examples,
        whatever the micro batches and the number of processes.
        """
        training, rank, world = self.spec.training, self.accelerator.process_index, self.accelerator.num_processes
        size = training.micro_batch_size
        examples = examples_of_step(step - 1, training.effective_batch_size, len(self.sequences), self.spec.seed)
        # Sums don't depend on the order of examples, and micro batches of similar lengths have less padding.
        examples.sort(key=lambda i: (-len(self.sequences[i].ids), i))
        micro_batches = [examples[i : i + size] for i in range(0, len(examples), size)]
        tokens = sum(len(self.sequences[i].answer) for i in examples)
        totals: dict[str, torch.Tensor] = {}
        mine = range(rank, len(micro_batches), world)
        for number in mine:
            sums = self._micro_batch(micro_batches[number], seed=self._seed(step, number))
            loss = sums["ce"] / tokens + self.spec.lam * sums.get("distillation", 0.0) / len(examples)
            with self._accumulating(last=number == mine[-1]):
                # Processes average their gradients; here they are parts of one sum.
                self.accelerator.backward(loss * world)
            for name, value in sums.items():
                totals[name] = totals.get(name, 0) + value.detach()
        totals = {name: self.accelerator.reduce(value, "sum") for name, value in totals.items()}
        metrics = self._metrics(step, totals, tokens, len(examples))
        norm = self.accelerator.clip_grad_norm_(self.student.parameters(), training.max_grad_norm)
        metrics["grad_norm"] = float(norm)
        if not math.isfinite(metrics["loss"]) or not math.isfinite(metrics["grad_norm"]):
            raise JobError(f"step {step}: the loss or its gradient is not finite (examples {examples})")
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return metrics | {"tokens": sum(len(self.sequences[i].ids) for i in examples)}

    def save_checkpoint(self, folder: Path, step: int, write: bool = True) -> None:
        """What was trained, as `checkpoint-<step>`: an adapter or a whole model."""
        if self.spec.lora is not None:
            save_checkpoint(folder, step, self.trained, _base_name(self.spec), write)
        else:
            save_full_checkpoint(folder, step, self.trained, self.model_folder, self.dtype, write)

    def _accumulating(self, last: bool) -> contextlib.AbstractContextManager:
        """Around a micro batch: copies of a model (DDP) exchange gradients once a step, after its last one.

        Parts of a model (FSDP) do after every one, because a gradient that is not exchanged is kept whole.
        """
        self.accelerator.sync_gradients = last  # when DeepSpeed, in the backward pass, takes the step
        once = isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if once and not last else contextlib.nullcontext()

    def _seed(self, step: int, micro_batch: int) -> int:
        return (self.spec.seed * 1_000_003 + step) * 10_007 + micro_batch

    def _micro_batch(self, examples: list[int], seed: int) -> dict[str, torch.Tensor]:
        where = self.accelerator.device
        batch = collate([self.sequences[i] for i in examples], self.position, self.pad_id)
        torch.manual_seed(seed)
        batch, teacher = {k: v.to(where) for k, v in batch.items()}, self.targets.of(examples, where)
        return self.model(batch, teacher)

    def _metrics(self, step: int, totals: dict[str, torch.Tensor], tokens: int, examples: int) -> dict[str, Any]:
        ce = totals["ce"].item() / tokens
        metrics = {"step": step, "loss": ce, "ce": ce, "lr": self.optimizer.param_groups[0]["lr"]}
        if "distillation" in totals:
            distillation = totals["distillation"].item() / examples
            weighted = self.spec.lam * distillation
            metrics |= {"loss": ce + weighted, "distillation": distillation, "weighted_over_ce": weighted / ce}
        if "cosine" in totals:
            layers = self.spec.condition.layers
            numbers = range(len(totals["cosine"])) if layers == "all" else layers
            metrics |= {
                f"cosine_layer_{layer}": value / examples
                for layer, value in zip(numbers, totals["cosine"].tolist(), strict=True)
            }
        return metrics


def train(
    spec: TrainSpec,
    model_folder: Path,
    train_path: Path,
    cache_path: Path | None,
    audit_path: Path | None,
    work: Workspace,
    trackers: list[str],
    save_state_every: int,
    gradient_checkpointing: bool = False,
) -> None:
    """Train, or continue training; writes `checkpoints` with a manifest, `metrics` and `tensorboard` of the workspace.

    Args:
        cache_path, audit_path: the teacher's cache and, for logits, its audit; None without a teacher.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    builder = PromptBuilder.of_model(model_folder, spec.model.chat_template)
    sequences = build_sequences(read_jsonl(train_path), builder, spec.training.max_tokens)
    cut = sum(sequence.cut for sequence in sequences)
    if cut:
        log.info("%d of %d answers were cut at training.max_tokens %d", cut, len(sequences), spec.training.max_tokens)
    temperatures = json.loads(audit_path.read_text()).get("temperatures") if audit_path else None
    targets = Targets(spec, cache_path, temperatures, len(sequences))
    pad_id = builder.tokenizer.pad_token_id
    pad_id = builder.end_of_turn if pad_id is None else pad_id
    trainer = Trainer(spec, model_folder, sequences, pad_id, targets, gradient_checkpointing)
    states, checkpoints = work.folder / "steps", work["checkpoints"]
    accelerator = trainer.accelerator
    if accelerator.is_main_process:
        work["tensorboard"].mkdir(exist_ok=True)  # an output, even where no tracker writes files
        for unfinished in checkpoints.glob(".*"):
            shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
    done, metrics = trainer.resume(states)
    accelerator.wait_for_everyone()  # before the first process saves a newer state
    _start_trackers(accelerator, spec, trackers, work["tensorboard"], done)
    total = spec.schedule.max_steps
    started = time.monotonic()
    for step in progress(range(done + 1, total + 1), f"train {spec.condition_name}", total, done, "step"):
        row = trainer.step(step)
        now = time.monotonic()
        row["tokens_per_second"] = row.pop("tokens") / (now - started)
        started = now
        metrics.append(row)
        accelerator.log({k: v for k, v in row.items() if k != "step"}, step=step)
        keep = step in spec.schedule.checkpoints
        # Every process takes part, because weights may be spread over all of them; only the first one writes.
        write = accelerator.is_main_process
        if keep:
            trainer.save_checkpoint(checkpoints, step, write)
        if keep or step % save_state_every == 0 or step == total:
            save_state(states, step, trainer.student, trainer.optimizer.optimizer, metrics, write)
    accelerator.wait_for_everyone()
    # The model goes before the processes part: where DDP is the last to know their group it ends the group's thread
    # while it keeps Python, which that thread may need to end, and gloo then waits for ever.
    del trainer
    accelerator.free_memory()
    accelerator.end_training()
    if accelerator.is_main_process:
        pd.DataFrame(metrics).to_csv(work["metrics"], index=False)
        files = {n: f for n, f in folder_digests(checkpoints).items() if n.startswith("checkpoint-")}
        write_json(checkpoints / "manifest.json", {"examples": len(sequences), "truncated": cut, "files": files})


def _start_trackers(accelerator: Accelerator, spec: TrainSpec, names: list[str], folder: Path, done: int) -> None:
    """Log through accelerate; steps after the saved one are logged again, so TensorBoard drops their old values."""
    accelerator.project_configuration = ProjectConfiguration(str(folder), logging_dir=str(folder))
    accelerator.log_with = filter_trackers(list(names), str(folder))
    missing = sorted(set(names) - {str(getattr(found, "value", found)) for found in accelerator.log_with})
    if missing:
        raise JobError(f"trackers: {missing[0]} isn't installed; install it or take it out of the configuration")
    settings = {
        "condition": spec.condition_name,
        "lambda": spec.lam,
        "seed": spec.seed,
        "model": spec.model.name,
        "schedule": spec.schedule_name,
    }
    purge = {"tensorboard": {"purge_step": done + 1}} if "tensorboard" in names else {}
    accelerator.init_trackers("fewshot_distillation", config=settings, init_kwargs=purge)


def _base_name(spec: TrainSpec) -> str:
    """What the adapter says it belongs to: the hub repository, or the configuration's name of the model."""
    return spec.model.source.hub if isinstance(spec.model.source, HubModel) else spec.model.name
