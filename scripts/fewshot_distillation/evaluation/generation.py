"""Answers to the test questions, batch by batch, each batch saved so that an interrupted job continues after it."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..config.catalogue import Evaluation
from ..config.specs import EvaluateSpec, GenerationSpec
from ..data.prompts import Demonstrations, PromptBuilder
from ..data.rows import Row, read_jsonl
from ..runtime.errors import JobError
from ..runtime.files import atomic_path, sha256
from ..runtime.progress import progress
from .backends.base import Backend
from .backends.transformers_backend import TransformersBackend


@dataclass(frozen=True)
class Request:
    """One prompt, with what its answer is filed under."""

    question_index: int
    shots: int
    step: int
    question: str
    ids: list[int]


def backend_for(evaluation: Evaluation, model_folder: Path, precision: str) -> Backend:
    return TransformersBackend(model_folder, precision)


def requests_for(
    test: list[Row], builder: PromptBuilder, demonstrations: Demonstrations | None, step: int, limit: int
) -> list[Request]:
    """A request for each test question; zero-shot without demonstrations.

    Raises:
        JobError: a prompt is longer than the limit.
    """
    requests = []
    for index, row in enumerate(test):
        shown = demonstrations.draw("test", index, row["question"]) if demonstrations else []
        ids = builder.build(row["question"], shown).ids
        if len(ids) > limit:
            raise JobError(
                f"test example {index}: the {len(shown)}-shot prompt has {len(ids)} tokens, "
                f"more than max_prompt_tokens {limit}"
            )
        requests.append(Request(index, len(shown), step, row["question"], ids))
    return requests


def batches(requests: list[Request], evaluation: Evaluation) -> list[list[Request]]:
    """Requests of similar length together, longest first, so that too little memory shows at once."""
    longest_first = sorted(requests, key=lambda r: (-len(r.ids), r.step, r.shots, r.question_index))
    found: list[list[Request]] = []
    for request in longest_first:
        longest = len(found[-1][0].ids) if found else 0
        if not found or (len(found[-1]) + 1) * (longest + evaluation.max_new_tokens) > evaluation.batch_tokens:
            found.append([])
        found[-1].append(request)
    return found


def answer(
    requests: list[Request], backend: Backend, adapter: Path | None, builder: PromptBuilder, evaluation: Evaluation,
    state: Path, what: str,
) -> pd.DataFrame:  # fmt: skip
    """Answers to all requests as a table; batches found in `state` are kept."""
    state.mkdir(parents=True, exist_ok=True)
    parts = [(batch, state / f"batch-{n:05d}.parquet") for n, batch in enumerate(batches(requests, evaluation))]
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
                "text": builder.tokenizer.decode(generation.ids, skip_special_tokens=True),
                "prompt_tokens": len(request.ids),
                "tokens": len(generation.ids),
                "finish_reason": generation.finish_reason,
            }
            for request, generation in zip(batch, generations, strict=True)
        ]
        with atomic_path(path) as temporary:
            pd.DataFrame(rows).to_parquet(temporary, index=False)
    return pd.concat([pd.read_parquet(path) for _, path in parts])


def _write(tables: list[pd.DataFrame], output: Path) -> None:
    table = pd.concat(tables).sort_values(["step", "shots", "question_index"]).reset_index(drop=True)
    table.to_parquet(output, index=False)


def generate_untrained(
    spec: GenerationSpec, model_folder: Path, train_path: Path, test_path: Path, state: Path, output: Path
) -> None:
    """Answers of the untrained model with each number of shots."""
    train, test = read_jsonl(train_path), read_jsonl(test_path)[: spec.evaluation.questions]
    builder = PromptBuilder.of_model(model_folder, spec.model.chat_template)
    backend = backend_for(spec.evaluation, model_folder, spec.precision)
    tables = []
    for shots in spec.shots:
        shown = Demonstrations(train, shots, spec.demonstrations, spec.demonstration_seed) if shots else None
        requests = requests_for(test, builder, shown, 0, spec.max_prompt_tokens)
        what = f"{spec.model.name} {shots}-shot"
        tables.append(answer(requests, backend, None, builder, spec.evaluation, state / f"{shots}shot", what))
    _write(tables, output)


def evaluate_checkpoints(
    spec: EvaluateSpec, model_folder: Path, checkpoints: Path, test_path: Path, state: Path, output: Path
) -> None:
    """Zero-shot answers of every checkpoint of a run.

    Raises:
        JobError: an adapter isn't the one that training wrote.
    """
    _check_adapters(checkpoints)
    test = read_jsonl(test_path)[: spec.evaluation.questions]
    builder = PromptBuilder.of_model(model_folder, spec.model.chat_template)
    backend = backend_for(spec.evaluation, model_folder, spec.precision)
    tables = []
    for step in spec.checkpoints:
        requests = requests_for(test, builder, None, step, spec.max_prompt_tokens)
        folder = checkpoints / f"checkpoint-{step}"
        tables.append(answer(requests, backend, folder, builder, spec.evaluation, state / folder.name, folder.name))
    _write(tables, output)


def _check_adapters(checkpoints: Path) -> None:
    files = json.loads((checkpoints / "manifest.json").read_text())["files"]
    for name, entry in files.items():
        path = checkpoints / name
        if not path.is_file() or sha256(path) != entry["sha256"]:
            raise JobError(f"{path} is not the file that training wrote; delete {checkpoints}/manifest.json to retrain")
