"""Answers to the test questions, batch by batch, each batch saved so that an interrupted job continues after it."""

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..config.catalogue import Draw, Evaluation
from ..config.machine import BY_HAND, Machine
from ..config.sources import HubModel
from ..config.specs import EvaluateSpec, GenerationSpec
from ..data.checkpoints import is_adapter
from ..data.demonstrations import Demonstrations
from ..data.prompts import PromptBuilder, digest_of
from ..data.rows import Row, read_jsonl
from ..data.selection import drawn_questions
from ..data.sequences import check_rows
from ..errors import JobError, about
from ..runtime.files import atomic_path
from ..runtime.progress import progress
from . import backends
from .backends.base import Backend, Setting


@dataclass(frozen=True)
class Request:
    """One prompt, with what its answer is filed under."""

    question_index: int
    shots: int
    step: int
    question: str
    ids: list[int]


@contextlib.contextmanager
def engine(
    spec: GenerationSpec | EvaluateSpec, model: Path, builder: PromptBuilder, checkpoints: list[Path], machine: Machine
) -> Iterator[Backend]:
    """Create the backend that the configuration chooses for this machine.

    Raises:
        JobError: an adapter doesn't fit the model, or is more than the backend applies.
    """
    name = backends.choose(spec.evaluation.backend)
    if adapters := [checkpoint for checkpoint in checkpoints if is_adapter(checkpoint)]:
        # By name, because a check makes no answer stale.
        fitting = importlib.import_module("fewshot_distillation.modeling.adapters")
        for adapter in adapters:
            fitting.check_adapter(model, adapter, backends.by_peft(name))
    source = spec.model.source
    names = [spec.model.name, *([source.hub] if isinstance(source, HubModel) else [])]
    longest = spec.max_prompt_tokens + spec.evaluation.max_new_tokens
    setting = Setting(
        model,
        names,
        builder.tokenizer,
        spec.precision,
        longest,
        machine.gpus,
        machine.server,
        checkpoints,
        spec.teacher.sampling if isinstance(spec, GenerationSpec) else None,
    )
    with contextlib.closing(backends.create(name, setting)) as backend:
        yield backend


def requests_for(
    rows: dict[int, Row], builder: PromptBuilder, demonstrations: Demonstrations | None, limit: int,
    split: str = "test", new_tokens: int = 0,
) -> list[Request]:  # fmt: skip
    """Build a request of the base model for each question, by its index in the split.

    Without demonstrations it is zero-shot.

    Args:
        limit: the longest prompt in tokens.
        new_tokens: the longest answer.

    Raises:
        JobError: a prompt is longer than the limit, or longer with its answer than the model has positions for.
    """
    asked = (
        (index, row["question"], demonstrations.draw(split, index, row["question"]) if demonstrations else [])
        for index, row in rows.items()
    )
    requests = []
    for index, question, shown in builder.ahead(asked, lambda item: [item[1:]]):
        with about(f"{split} example {index}"):
            ids = builder.build(question, shown).ids
            if len(ids) > limit:
                raise JobError(
                    f"the {len(shown)}-shot prompt has {len(ids)} tokens, more than max_prompt_tokens {limit}"
                )
            answered = f"the {len(shown)}-shot prompt with an answer of evaluation.max_new_tokens {new_tokens}"
            builder.limits.check_length(len(ids) + new_tokens, answered)
        requests.append(Request(index, len(shown), 0, question, ids))
    return requests


def batches(requests: list[Request], max_new_tokens: int, batch_tokens: int) -> list[list[Request]]:
    """Group requests of similar length, longest first, so that too little memory shows at once.

    Prompts and answers of a batch take at most `batch_tokens` together.
    """
    longest_first = sorted(requests, key=lambda r: (-len(r.ids), r.step, r.shots, r.question_index))
    found: list[list[Request]] = []
    for request in longest_first:
        longest = len(found[-1][0].ids) if found else 0
        if not found or (len(found[-1]) + 1) * (longest + max_new_tokens) > batch_tokens:
            found.append([])
        found[-1].append(request)
    return found


def answer(
    requests: list[Request], backend: Backend, adapter: Path | None, builder: PromptBuilder, evaluation: Evaluation,
    state: Path, what: str,
) -> pd.DataFrame:  # fmt: skip
    """Answer all requests; return a table. Batches found in `state` are kept."""
    # An attempt with another backend would have other batches, and one with other prompts other answers.
    state = state / backend.name / f"prompts-{digest_of(request.ids for request in requests)[:16]}"
    state.mkdir(parents=True, exist_ok=True)
    cut = batches(requests, evaluation.max_new_tokens, backend.batch_tokens or evaluation.batch_tokens)
    parts = [(batch, state / f"batch-{n:05d}.parquet") for n, batch in enumerate(cut)]
    waiting = [(batch, path) for batch, path in parts if not path.exists()]
    if waiting:
        backend.use(adapter)
    for batch, path in progress(waiting, what, total=len(parts), done=len(parts) - len(waiting), unit="batch"):
        generations = backend.generate([r.ids for r in batch], evaluation.max_new_tokens, builder.stop_ids)
        rows = [
            {
                "question_index": request.question_index,
                "shots": request.shots,
                "step": request.step,
                "question": request.question,
                "token_ids": generation.ids,
                "text": builder.tokenizer.decode(generation.ids, skip_special_tokens=True),
                "prompt_digest": digest_of([request.ids]),
                "prompt_tokens": len(request.ids),
                "tokens": len(generation.ids),
                "finish_reason": generation.finish_reason,
                "backend": backend.engine,
            }
            for request, generation in zip(batch, generations, strict=True)
        ]
        with atomic_path(path) as temporary:
            pd.DataFrame(rows).to_parquet(temporary, index=False)
    return pd.concat([pd.read_parquet(path) for _, path in parts])


def _write(tables: list[pd.DataFrame], output: Path) -> None:
    table = pd.concat(tables).sort_values(["step", "shots", "question_index"]).reset_index(drop=True)
    table.to_parquet(output, index=False)


def questions_of(rows: list[Row], wanted: int | Draw | None) -> dict[int, Row]:
    """Return the rows that are asked, by their indices: the first so many, so many that are drawn, or all."""
    if isinstance(wanted, Draw):
        return {i: rows[i] for i in drawn_questions(len(rows), wanted.count, wanted.seed)}
    return dict(enumerate(rows[:wanted]))


def generate_base(
    spec: GenerationSpec, model_folder: Path, train_path: Path, asked_path: Path, state: Path, output: Path,
    machine: Machine = BY_HAND,
) -> None:  # fmt: skip
    """Write the base model's answers to questions of a split, each after a teacher's demonstrations."""
    train, split = read_jsonl(train_path), read_jsonl(asked_path)
    asked = questions_of(split, spec.evaluation.questions)
    builder = PromptBuilder.of_model(model_folder, spec.model.chat_template, spec.model.wording)
    if spec.split == "test":
        # Also of rows that this job doesn't read: it is among a study's first, and the others cost far more.
        check_rows(builder, train, split)
    shown = Demonstrations(train, spec.teacher, spec.labelled) if spec.teacher.shots else None
    new_tokens = spec.evaluation.max_new_tokens
    requests = requests_for(asked, builder, shown, spec.max_prompt_tokens, spec.split, new_tokens)
    # Of the teacher and not of the prompt, which has fewer where a labelled question would be shown itself.
    requests = [replace(request, shots=spec.teacher.shots) for request in requests]
    what = f"{spec.model.name} {spec.teacher.shots}-shot"
    with engine(spec, model_folder, builder, [], machine) as backend:
        table = answer(requests, backend, None, builder, spec.evaluation, state, what)
    _write([table], output)


def evaluate_checkpoints(
    spec: EvaluateSpec, model_folder: Path, checkpoints: dict[int, Path], asked_path: Path, state: Path, output: Path,
    machine: Machine = BY_HAND,
) -> None:  # fmt: skip
    """Write zero-shot answers of checkpoints, given by their steps."""
    asked = questions_of(read_jsonl(asked_path), spec.evaluation.questions)
    builder = PromptBuilder.of_model(model_folder, spec.model.chat_template, spec.model.wording)
    new_tokens = spec.evaluation.max_new_tokens
    requests = requests_for(asked, builder, None, spec.max_prompt_tokens, new_tokens=new_tokens)
    tables = []
    with engine(spec, model_folder, builder, list(checkpoints.values()), machine) as backend:
        for step, folder in checkpoints.items():
            name, of_step = f"checkpoint-{step}", [replace(request, step=step) for request in requests]
            tables.append(answer(of_step, backend, folder, builder, spec.evaluation, state / name, name))
    _write(tables, output)
