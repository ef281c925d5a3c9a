"""A training run from its inputs to its checkpoints, continued where an earlier attempt was interrupted."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from accelerate import Accelerator
from accelerate.tracking import filter_trackers
from accelerate.utils import ProjectConfiguration

from ..config.machine import Machine
from ..config.specs import TrainSpec
from ..data.prompts import PromptBuilder, digest_of
from ..data.rows import read_jsonl
from ..errors import JobError
from ..hardware.speed import Speed, peak_of
from ..runtime.files import folder_digests, sha256, write_json
from ..runtime.progress import progress
from ..runtime.workspace import Workspace
from .compiled import compile_and_rehearse
from .determinism import be_deterministic
from .examples import build_streams
from .gradients import measurable, term_gradients
from .state import save_state
from .targets import TargetCache
from .trainer import Trainer

log = logging.getLogger("fewshot_distillation")


@dataclass(frozen=True)
class TrainInputs:
    """Files that a run reads: the training split, and for each target its teacher's cache with its description.

    `written` are a teacher's answers and `judged` has which of them are right, for a condition that learns from those.
    """

    train: Path
    caches: list[tuple[Path, Path]]
    written: Path | None = None
    judged: Path | None = None


def train(spec: TrainSpec, model_folder: Path, inputs: TrainInputs, work: Workspace, machine: Machine) -> None:
    """Train, or continue; write `checkpoints` with a manifest, `metrics` and `tensorboard` of the workspace."""
    be_deterministic()
    builder = PromptBuilder.of_model(model_folder, spec.model.chat_template, spec.model.wording)
    rows = read_jsonl(inputs.train)
    streams = build_streams(spec, rows, builder, inputs.written, inputs.judged)
    cut = sum(example.sequence.cut for example in streams.all)
    if cut:
        log.info("%d of %d answers were cut at training.max_tokens %d", cut, len(streams.all), spec.training.max_tokens)
    pairs = zip(spec.learning.targets, inputs.caches, strict=True)
    split = sha256(inputs.train)
    caches = [TargetCache(target, *files, len(rows), split) for target, files in pairs]
    trainer = Trainer(spec, model_folder, streams, caches, machine.gradient_checkpointing)
    compile_and_rehearse(trainer, work.folder.parents[1] / "compiled")
    prompts = digest_of(example.sequence.ids for example in streams.all)
    states, checkpoints = work.folder / f"steps-{prompts[:16]}", work["checkpoints"]
    accelerator = trainer.accelerator
    if accelerator.is_main_process:
        work["tensorboard"].mkdir(exist_ok=True)  # an output, even where no tracker writes files
        for unfinished in checkpoints.glob(".*"):
            shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
    done, metrics = trainer.resume(states)
    accelerator.wait_for_everyone()  # before the first process saves a newer state
    _start_trackers(accelerator, spec, machine.trackers, work["tensorboard"], done)
    total = spec.schedule.max_steps
    # No figure shows a single value.
    wanted = machine.log_gradients_every if machine.log_gradients_every < total else 0
    every = wanted if measurable(trainer) else 0
    if wanted > every and spec.learning.targets:
        log.info("gradients aren't measured (log_gradients_every): that takes one process with all weights")
    speed = Speed(peak_of(accelerator.device), accelerator.num_processes)
    what = f"train {spec.condition_name}"
    for step in progress(range(done + 1, total + 1), what, total, done, "step", note=speed.recent):
        measured = term_gradients(trainer, step) if every and (step - 1) % every == 0 else {}
        row = trainer.step(step) | measured
        row["tokens_per_second"] = speed.of_step(row.pop("tokens"), row.pop("flops"))
        metrics.append(row)
        accelerator.log({k: v for k, v in row.items() if k != "step"}, step=step)
        keep = step in spec.schedule.checkpoints
        # Every process takes part, because weights may be sharded over all of them; only the first one writes.
        write = accelerator.is_main_process
        if keep:
            trainer.save_checkpoint(checkpoints, step, write)
        if keep or step % machine.save_state_every == 0 or step == total:
            save_state(states, step, trainer.student, trainer.optimizer.optimizer, metrics, write)
    log.info("%s: %s", what, speed.overall())
    accelerator.wait_for_everyone()
    # The model goes before the processes part: where DDP has the last reference to their group, it ends the
    # group's thread while it keeps Python, which that thread may need to end, and gloo then waits for ever.
    del trainer
    accelerator.free_memory()
    accelerator.end_training()
    if accelerator.is_main_process:
        pd.DataFrame(metrics).to_csv(work["metrics"], index=False)
        files = {n: f for n, f in folder_digests(checkpoints).items() if n.startswith("checkpoint-")}
        counts = {"examples": len(streams.all), "truncated": cut, "dropped": streams.dropped}
        write_json(checkpoints / "manifest.json", counts | {"prompts": prompts, "files": files})


def _start_trackers(accelerator: Accelerator, spec: TrainSpec, names: list[str], folder: Path, done: int) -> None:
    """Log through accelerate; steps after the saved one are logged again, so TensorBoard drops their old values."""
    accelerator.project_configuration = ProjectConfiguration(str(folder), logging_dir=str(folder))
    accelerator.log_with = filter_trackers(list(names), str(folder))
    missing = sorted(set(names) - {str(getattr(found, "value", found)) for found in accelerator.log_with})
    if missing:
        raise JobError(f"trackers: {missing[0]} isn't installed; install it or remove it from the configuration")
    settings = {
        "condition": spec.condition_name,
        "lambda": spec.lam,
        "seed": spec.seed,
        "model": spec.model.name,
        "schedule": spec.schedule_name,
    }
    purge = {"tensorboard": {"purge_step": done + 1}} if "tensorboard" in names else {}
    accelerator.init_trackers("fewshot_distillation", config=settings, init_kwargs=purge)
