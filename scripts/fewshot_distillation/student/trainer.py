"""The training loop, one for all conditions: L = w L_CE + λ Σ_t λ_t L_t.

Every random draw is a function of seed, step and micro batch. So a run that continues from a saved state sees the same
examples with the same dropout masks as an undisturbed one. With more processes it sees the same examples; masks are the
same where the batch is packed into as many micro batches.
"""

import contextlib
import hashlib
import math
import os
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch.nn.parallel import DistributedDataParallel

from ..config.conditions import Learning
from ..config.sources import HubModel
from ..config.specs import TrainSpec
from ..errors import JobError
from ..modeling.flops import StepWork
from ..modeling.hidden_states import decoder_of
from ..modeling.lean_lora import use_lean_lora
from ..modeling.load import device, dtype_for
from ..modeling.packed import micro_batches
from ..modeling.packed_attention import is_packed
from ..runtime.processes import SHARDED
from .ahead import Ahead
from .batches import StepPlan
from .examples import Streams
from .model import Student, model_to_train
from .optimizers import optimizer_of
from .schedule import LearningRate
from .state import load_state, save_checkpoint, save_full_checkpoint
from .targets import TargetCache


class Trainer:
    """One training run; `train` does all of it."""

    def __init__(
        self, spec: TrainSpec, model_folder: Path, streams: Streams, caches: list[TargetCache],
        gradient_checkpointing: bool = False,
    ) -> None:  # fmt: skip
        self.spec, self.streams, self.caches = spec, streams, caches
        self.model_folder = model_folder
        where = device()
        self.dtype = dtype_for(spec.precision, where)  # in which the layers compute
        # FSDP and DeepSpeed take weights to the device a few at a time and leave parts there; all need not fit.
        home = torch.device("cpu") if SHARDED else where
        # Each process reads them: tied ones would be so no more if accelerate handed out those of the first process.
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        self.trained = model_to_train(spec, model_folder, home, gradient_checkpointing)
        self.student = Student(self.trained, spec.learning, self.dtype)
        decoder = decoder_of(self.student.base[0])
        self.padded = not is_packed(decoder)
        self.work = StepWork(decoder, self.student.base[0].get_output_embeddings())
        # The student decides the precision, because FSDP and DeepSpeed would round targets and gradients as well.
        self.accelerator = Accelerator(
            mixed_precision="no", cpu=where.type == "cpu", kwargs_handlers=[_copies(spec.learning)]
        )
        self._set_up_sharding()
        if spec.lora and self.accelerator.distributed_type != DistributedType.DEEPSPEED:
            use_lean_lora(self.trained)
        trained = [p for p in self.student.parameters() if p.requires_grad]
        training = spec.training
        fused = where.type == "cuda" and self.accelerator.distributed_type != DistributedType.DEEPSPEED
        optimizer = optimizer_of(training, trained, fused)
        self.schedule = LearningRate(optimizer, training, spec.schedule.max_steps)
        self.model, self.optimizer = self.accelerator.prepare(self.student, optimizer)
        self.model.train()
        # As a list, because collecting them takes as long as a layer.
        self.trained_parameters = [p for p in self.student.parameters() if p.requires_grad]
        self.ahead = Ahead(spec.learning.targets, caches, spec.schedule.max_steps)
        self._check_processes()

    def _set_up_sharding(self) -> None:
        """Agree with accelerate on how a model is sharded.

        Raises:
            JobError: the way or the optimizer doesn't keep each parameter's state apart from others.
        """
        kind, training = self.accelerator.distributed_type, self.spec.training
        if kind == DistributedType.DEEPSPEED:
            if training.optimizer == "sgd":
                raise JobError(
                    "training.optimizer: with DeepSpeed expected adamw or adam, got sgd; change it, or use FSDP as in "
                    "envs/accelerate-fsdp.yaml"
                )
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
                for buffer in self.student.buffers():  # which it leaves where they are
                    buffer.data = buffer.data.to(self.accelerator.device)
        elif kind == DistributedType.MEGATRON_LM or (kind == DistributedType.FSDP and not self.accelerator.is_fsdp2):
            raise JobError(
                f"models.{self.spec.model.name}.accelerate: training can't be sharded by {kind.value} in this form; "
                "use FSDP with fsdp_version: 2, as envs/accelerate-fsdp.yaml does, or DeepSpeed"
            )

    def _check_processes(self) -> None:
        size, processes = self.spec.training.effective_batch_size, self.accelerator.num_processes
        if size < processes:
            raise JobError(
                f"training.effective_batch_size {size} can't be shared by {processes} processes; raise it, or use "
                f"fewer GPUs (models.{self.spec.model.name}.gpus.train)"
            )
        launched = int(os.environ.get("WORLD_SIZE", 1))
        if processes != launched:
            raise JobError(
                f"expected a group of {launched} processes, as many as were launched, got {processes}; run the program "
                "without a launcher, and it starts them itself"
            )

    def resume(self, folder: Path) -> tuple[int, list[dict]]:
        """Continue from the newest state in a folder; the number of steps done and their metrics."""
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED and any(folder.glob("step-*")):
            self.step(1)  # DeepSpeed makes its moments in a step; they and the weights are replaced
        done, metrics = load_state(folder, self.student, self.optimizer.optimizer)
        groups = self.optimizer.optimizer.param_groups
        for group, rate in zip(groups, self.schedule.continue_after(done), strict=True):
            group["lr"] = rate
        return done, metrics

    def step(self, step: int) -> dict[str, Any]:
        """Take optimizer step number `step`, counted from 1; its metrics.

        Cross-entropy is averaged over the answer tokens of the effective batch and each target over the tokens of its
        span, whatever the micro batches and the number of processes.
        """
        world = self.accelerator.num_processes
        plan = self.plan(step)
        totals = self._zeros(plan.tokens)
        for number in plan.mine:
            with self._accumulating(last=number == plan.mine[-1]):
                loss, sums = self.forward(plan, number, self.weights(plan))
                # Processes average their gradients; here they are parts of one sum.
                self.accelerator.backward(loss.sum() * world)
            for name, value in sums.items():
                totals[name] += value
        totals = {name: self.accelerator.reduce(value, "sum") for name, value in totals.items()}
        norm = self.accelerator.clip_grad_norm_(self.trained_parameters, self.spec.training.max_grad_norm)
        rate = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        # Reading a number waits for all that a GPU was given; before that, it was given the whole step.
        metrics = self._metrics(step, totals, plan.tokens, rate) | {"grad_norm": float(norm)}
        if not math.isfinite(metrics["loss"]) or not math.isfinite(metrics["grad_norm"]):
            examples = sorted(example.index for example in plan.examples)
            raise JobError(f"step {step}: the loss or its gradient is not finite (examples {examples})")
        return metrics | self._work(plan)

    def _work(self, plan: StepPlan) -> dict[str, float]:
        """Tokens and model FLOPs of a step; logits at an answer's tokens count once, whatever is made of them."""
        lengths = [len(e.sequence.ids) for e in plan.examples]
        logits = plan.tokens["ce"]
        spans = [plan.tokens[f"target_{n}"] for n, t in enumerate(self.spec.learning.targets) if t.target == "logits"]
        return {"tokens": sum(lengths), "flops": self.work.flops(lengths, max([logits, *spans]))}

    def plan(self, step: int) -> StepPlan:
        """What a step reads: its examples, their micro batches, and how many tokens each term is averaged over."""
        training = self.spec.training
        examples = self.streams.of_step(step - 1, training.effective_batch_size, self.spec.seed)
        lengths = [len(example.sequence.ids) for example in examples]
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        batches = micro_batches(lengths, training.micro_batch_tokens, world, self.padded)
        if SHARDED and len(batches) % world:
            # Each pass gathers weights from all processes, so none may make one more than the others.
            raise JobError(
                f"{len(batches)} micro batches can't be shared evenly by {world} processes that shard a model; make "
                "training.effective_batch_size a multiple of the processes, or raise micro_batch_tokens"
            )
        tokens = {"ce": sum(len(e.sequence.answer) for e in examples if e.cross_entropy)}
        for number, target in enumerate(self.spec.learning.targets):
            tokens[f"target_{number}"] = sum(len(e.sequence.span(target.span)) for e in examples if e.targets)
        micro = [[examples[i] for i in batch] for batch in batches]
        return StepPlan(step, examples, micro, range(rank, len(micro), world), tokens)

    def rehearse(self, plan: StepPlan) -> None:
        """Pass the first micro batch of a step forwards and backwards, and leave no trace of it."""
        with self._no_exchange():  # so that a pass that failed half-way can be tried again
            loss, _ = self.forward(plan, plan.mine[0], self.weights(plan))
            self.accelerator.backward(loss.sum())
        self.optimizer.zero_grad()

    def _zeros(self, tokens: dict[str, int]) -> dict[str, torch.Tensor]:
        """A sum for every term of a step, the same in each process, also where its own micro batches lack a term."""
        where = self.accelerator.device
        zeros = {name: torch.zeros((), device=where) for name, count in tokens.items() if count}
        for number, capture in self.student.captures.items():
            if tokens[f"target_{number}"]:
                zeros[f"cosine_{number}"] = torch.zeros(len(capture.blocks), device=where)
        return zeros

    def forward(
        self, plan: StepPlan, number: int, weights: dict[str, float], again: bool = False
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Compute a micro batch's loss, (1,), and its terms' sums; `again`: its step is read again afterwards."""
        batch = self.ahead.batch(plan, number, self.plan, again)
        torch.manual_seed(self._seed(plan.step, number))
        return self.model(batch.to(self.accelerator.device), [weights])

    def weights(self, plan: StepPlan) -> dict[str, float]:
        """The weight of each term's sum in L = w L_CE + λ Σ_t λ_t L_t, whose terms are means over their tokens."""
        return {name: self._weight(plan.step, name) / count for name, count in plan.tokens.items() if count}

    def _weight(self, step: int, name: str) -> float:
        """The weight of a term at a step."""
        learning = self.spec.learning
        if name == "ce":
            return learning.cross_entropy
        first, last = learning.lambda_steps or (1, step)
        lam = self.spec.lam if first <= step <= last else 0.0
        return lam * learning.targets[int(name.removeprefix("target_"))].lam

    def save_checkpoint(self, folder: Path, step: int, write: bool = True) -> None:
        """Save what was trained as `checkpoint-<step>`: an adapter or a whole model."""
        if self.spec.lora is not None:
            save_checkpoint(folder, step, self.trained, _base_name(self.spec), write)
        else:
            save_full_checkpoint(folder, step, self.trained, self.model_folder, self.dtype, write)

    def _accumulating(self, last: bool) -> contextlib.AbstractContextManager:
        """Around both passes of a micro batch: copies of a model (DDP) exchange gradients once a step, after its last.

        Shards of a model (FSDP) do after every one, because a gradient that is not exchanged is kept whole.
        """
        self.accelerator.sync_gradients = last  # when DeepSpeed, in the backward pass, takes the step
        return contextlib.nullcontext() if last else self._no_exchange()

    def _no_exchange(self) -> contextlib.AbstractContextManager:
        """Keep copies of a model (DDP) from exchanging gradients, within both passes of a micro batch."""
        copies = isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if copies else contextlib.nullcontext()

    def _seed(self, step: int, micro_batch: int) -> int:
        digest = hashlib.sha256(f"{self.spec.seed} {step} {micro_batch}".encode()).digest()
        return int.from_bytes(digest[:7], "big")

    def _metrics(
        self, step: int, totals: dict[str, torch.Tensor], tokens: dict[str, int], rate: float
    ) -> dict[str, Any]:
        """Losses averaged over their tokens; a term without tokens is left out."""
        means = {name: totals[name].item() / count for name, count in tokens.items() if name in totals}
        weighted = {name: self._weight(step, name) * value for name, value in means.items()}
        metrics = {"step": step, "loss": sum(weighted.values()), "ce": means.get("ce", math.nan), "lr": rate}
        targets = self.spec.learning.targets
        if targets:
            parts = [t.lam * means.get(f"target_{n}", 0.0) for n, t in enumerate(targets)]
            metrics["distillation"] = sum(parts)
            metrics["weighted_over_ce"] = self.spec.lam * sum(parts) / metrics["ce"] if metrics["ce"] else math.nan
        if len(targets) > 1:
            metrics |= {f"target_{n}": means.get(f"target_{n}", 0.0) for n in range(len(targets))}
        for number, target in enumerate(targets):
            cosine = totals.get(f"cosine_{number}")
            if cosine is not None:
                numbers = range(len(cosine)) if target.layers == "all" else target.layers
                suffix = "" if target.span == "question_end" or len(targets) == 1 else f"_{target.span}"
                shares = (cosine / tokens[f"target_{number}"]).tolist()
                metrics |= {f"cosine_layer_{k}{suffix}": share for k, share in zip(numbers, shares, strict=True)}
        return metrics


def _copies(learning: Learning) -> DistributedDataParallelKwargs:
    """How copies of a model (DDP) exchange gradients: of weights that a pass may leave unused they ask first.

    Those are weights above the layers whose hidden states are learned, where no logits are.
    """
    only_states = learning.cross_entropy == 0 or learning.sft_examples is not None
    unused = only_states and any(target.target == "hidden_states" for target in learning.targets)
    return DistributedDataParallelKwargs(find_unused_parameters=unused)


def _base_name(spec: TrainSpec) -> str:
    """Return the base model's name in the adapter: the hub repository, or the name in the configuration."""
    return spec.model.source.hub if isinstance(spec.model.source, HubModel) else spec.model.name
