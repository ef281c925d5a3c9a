"""A training step of each kind of condition against TRL's SFTTrainer at its best micro batch.

python benchmarks/training.py [--size cpu|gpu|smoke] [--model FOLDER] [--rows FOLDER]

Same model, adapter, dropout, precision, effective batch and loss over the answer alone. Trainers draw their own
batches, so what is compared is time a token, padding not counted. TRL runs in .venv-bench (`make .venv-bench/ready`),
or in this environment where it has it.
"""

import contextlib
import gc
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import measuring
import torch
from workload import Workload, arguments

from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.student.compiled import compile_and_rehearse
from fewshot_distillation.student.determinism import be_deterministic
from fewshot_distillation.student.examples import build_streams
from fewshot_distillation.student.targets import TargetCache
from fewshot_distillation.student.trainer import Trainer
from fewshot_distillation.teacher.activations import precompute_activations
from fewshot_distillation.teacher.logits import precompute_logits

PLAIN = "sft, not compiled"
CONDITIONS = ("sft", "layerwise", "logit_kl", "answer_kl")
# On a GPU either trainer gives its memory back for the other's round, and a step gets it again.
SETTLING = 1 if torch.cuda.is_available() else 0
ROWS = 64  # that are learned from, and whose targets are made first


class Stopped(RuntimeError):
    """TRL ended early; the end of its log."""


class Peer:
    """TRL in a process of its own."""

    def __init__(self, python: Path, load: Workload, train: Path, micro: int) -> None:
        given = {
            "model": str(load.model.resolve()), "rows": str(train), "micro": micro, "batch": load.sizes.batch,
            "precision": str(load.dtype).removeprefix("torch."), "scratch": str(load.scratch / f"trl-{micro}"),
        }  # fmt: skip
        program = Path(__file__).with_name("trl_steps.py")
        environment = os.environ | {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
        environment.pop("CUBLAS_WORKSPACE_CONFIG", None)  # as TRL runs otherwise
        self.log = open(load.scratch / f"trl-{micro}.log", "w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, program, json.dumps(given)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            text=True, env=environment,
        )  # fmt: skip
        self.micro, self.peak = micro, 0

    def steps(self, count: int) -> tuple[float, float]:
        """Seconds and tokens of so many steps, after untimed ones that allocate memory again."""
        self.process.stdin.write(f"{SETTLING + count}\n")
        self.process.stdin.flush()
        seconds = tokens = 0.0
        for number in range(SETTLING + count):
            if number == SETTLING:
                seconds = tokens = 0.0
            line = self.process.stdout.readline()
            if not line:
                self.log.seek(0)
                raise Stopped(f"TRL stopped:\n{self.log.read()[-3000:]}")
            answer = json.loads(line)
            seconds, tokens, self.peak = seconds + answer["seconds"], tokens + answer["tokens"], answer["peak"]
        return seconds, tokens

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def python_with_trl() -> Path | None:
    own = measuring.ROOT / ".venv-bench" / "bin" / "python"
    if own.is_file():
        return own
    return Path(sys.executable) if importlib.util.find_spec("trl") else None


@contextlib.contextmanager
def best_peer(load: Workload, train: Path) -> Iterator[tuple[Peer | None, list[str]]]:
    """TRL at the micro batch at which it takes the least time a token."""
    python = python_with_trl()
    if python is None:
        yield None, ["TRL isn't installed, so nothing is compared with it; `make .venv-bench/ready` installs it."]
        return
    costs, peers, notes = {}, {}, []
    for micro in load.sizes.micro:
        peers[micro] = Peer(python, load, train, micro)
        try:
            peers[micro].steps(1)
            seconds, tokens = peers[micro].steps(1)
        except Stopped as error:
            if "OutOfMemoryError" not in str(error):
                raise
            peers.pop(micro).process.wait()
            notes.append(f"TRL with micro batches of {micro} runs out of memory.")
            continue
        costs[micro] = seconds / tokens
        notes.append(f"TRL with micro batches of {micro}: {1e6 * costs[micro]:.0f} s a million tokens (one step).")
        best = min(costs, key=costs.get)
        for other in [m for m in peers if m != best]:
            peers.pop(other).end()
    if not costs:
        yield None, notes
        return
    yield peers[best], notes
    peers[best].end()


class Ours:
    """Trainers of the study, with the targets that they need."""

    def __init__(self, load: Workload, train: Path) -> None:
        self.load, self.train, self.rows = load, train, read_jsonl(train)
        self.made: dict[str, tuple[Path, Path]] = {}
        be_deterministic()

    def _cache(self, text: str, kind: str) -> tuple[Path, Path]:
        study, folder = self.load.study(), self.load.scratch / text
        hidden = folder / "activations.safetensors", folder / "meta.json"
        logits = folder / "logits.safetensors", folder / "audit.json"
        if not hidden[0].exists():
            for state in ("a", "b"):
                (folder / state).mkdir(parents=True)
            spec = study.precompute_activations("model", "zeroshot", text)
            precompute_activations(spec, self.load.model, self.train, folder / "a", *hidden)
            spec = study.precompute_logits("model", "zeroshot", text)
            precompute_logits(spec, self.load.model, *hidden, folder / "b", *logits)
        return hidden if kind == "hidden_states" else logits

    def trainer(self, condition: str, **training: object) -> Trainer:
        spec = self.load.train_spec(condition, **training)
        pairs = self.load.study().targets(condition)
        caches = [TargetCache(t, *self._cache(text, t.target), len(self.rows)) for t, text in pairs]
        return Trainer(spec, self.load.model, build_streams(spec, self.rows, self.load.builder), caches)


class Steps:
    """Rounds of a trainer's steps, by the tokens that they had."""

    def __init__(self, trainer: Trainer, steps: int) -> None:
        self.trainer, self.steps, self.step, self.flops, self.tokens = trainer, steps, 0, 0.0, 0

    def _next(self) -> dict:
        self.step += 1
        return self.trainer.step(self.step)

    def __call__(self) -> tuple[float, float]:
        for _ in range(SETTLING):
            self._next()
        start, tokens = measuring.clock(), 0
        for _ in range(self.steps):
            metrics = self._next()
            tokens += metrics["tokens"]
            self.flops += metrics["flops"]
        self.tokens += tokens
        seconds = measuring.clock() - start
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # TRL needs the room
        return seconds, tokens


def run(load: Workload) -> None:
    train = load.scratch / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in load.rows["train"][:ROWS]))
    on_gpu = torch.cuda.is_available()
    ours, steps = Ours(load, train), 4 if on_gpu else 1
    table = []
    with best_peer(load, train) as (peer, notes):
        # A study's schedules are long enough to be compiled on a GPU (`compile: auto`).
        kinds = [*CONDITIONS, PLAIN] if on_gpu else CONDITIONS
        for kind in kinds:
            compiled = on_gpu and kind != PLAIN
            trainer = ours.trainer(kind.partition(",")[0], compile=compiled)
            start = measuring.clock()
            compile_and_rehearse(trainer, load.output / "compiled")
            if compiled and kind == kinds[0]:
                notes.append(f"compiling took {measuring.clock() - start:.0f} s; the cache is kept in the output.")
            counted = Steps(trainer, steps)
            way = measuring.Way(kind, counted)
            peers = [] if peer is None else [measuring.Way(f"TRL, {peer.micro}", lambda: peer.steps(steps))]
            measuring.in_turn([way, *peers], load.sizes.rounds)
            way.flops = counted.flops / counted.tokens
            table.append(measuring.compared(kind, "s a million tokens", way, *(peers or [None]), load.peak))
            for key in ("ours", "of peer"):
                table[-1][key] = table[-1][key] and f"{1000 * float(table[-1][key]):,.0f}"
            print(f"  {table[-1]}", file=sys.stderr, flush=True)
            trainer.accelerator.free_memory()
            del trainer, counted, way
            gc.collect()  # before the next one is loaded beside it
        if on_gpu:
            notes.append(f"peak memory: ours {torch.cuda.max_memory_allocated() / 2**30:.0f} GiB")
            notes[-1] += f", TRL {peer.peak / 2**30:.0f} GiB." if peer else "."
    notes.append(f"Steps of {load.sizes.batch} examples.")
    measuring.report("training", table, [load.note(), *notes], load.output)


if __name__ == "__main__":
    run(arguments(__doc__))
