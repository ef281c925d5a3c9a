"""Hidden states of the teacher: the frozen model reading each training question after its demonstrations."""

from pathlib import Path

import torch
from torch import Tensor

from ..config.conditions import QUESTION
from ..config.specs import ActivationsSpec
from ..config.targets import POSITIONS, Span
from ..data.demonstrations import Demonstrations
from ..data.prompts import PromptBuilder, check_same_query, digest_of
from ..data.rows import Row, read_jsonl
from ..data.sequences import Sequence, answer_tokens
from ..errors import JobError, about
from ..modeling.load import load_model
from ..runtime.files import sha256, write_json
from ..runtime.progress import progress
from .cache import checked, concatenate
from .reading import Reader
from .shards import Shards

SHARD_ROWS = 64


def spans_of(text: str) -> tuple[Span, ...]:
    """Return the spans at which values are kept: behind a question its two positions, else those of the answer."""
    return POSITIONS if text == QUESTION else ("answer",)


def teacher_sequences(
    spec: ActivationsSpec, builder: PromptBuilder, train: list[Row], written: Path | None = None
) -> list[Sequence]:
    """Build every example's few-shot prompt, checked against its zero-shot prompt, and the answer behind it.

    Args:
        written: the table of a teacher's answers, where the text is one of those.

    Raises:
        JobError: a sequence is longer than the limit, or its prompt differs from the student's where they are compared.
    """
    demonstrations = Demonstrations(train, spec.teacher, spec.labelled)
    answers = [[]] * len(train) if spec.text == QUESTION else answer_tokens(spec.text, train, builder, written)
    unread = spec.text == QUESTION  # the teacher reads no answers, but training will, and they are wrong now or never
    examples = (
        (row, answer, demonstrations.draw("train", index, row["question"]))
        for index, (row, answer) in enumerate(zip(train, answers, strict=True))
    )
    examples = builder.ahead(
        progress(examples, "teacher prompts", total=len(train), unit="prompt"),
        lambda item: [(item[0]["question"], shown) for shown in ([], item[2])],
        lambda item: [item[0]["answer"]] * unread,
    )
    sequences = []
    for index, (row, answer, shown) in enumerate(examples):
        example = f"training example {index}"
        with about(example):
            prompt, zero = builder.build(row["question"], shown), builder.build(row["question"])
            builder.limits.check_length(len(prompt.ids) + len(answer), "the prompt with its answer")
            if unread:
                builder.answer_ids(row["answer"])
        if len(prompt.ids) > spec.max_prompt_tokens:
            raise JobError(
                f"{example}: the {spec.teacher.shots}-shot prompt has {len(prompt.ids)} tokens, "
                f"more than max_prompt_tokens {spec.max_prompt_tokens}"
            )
        check_same_query(builder, prompt, zero, row["question"], example)
        sequences.append(Sequence(prompt, answer))
    return sequences


class _Values:
    """Tensors of a shard's examples, as `TeacherCache` describes them."""

    def __init__(self, spec: ActivationsSpec, model_folder: Path, sequences: list[Sequence]) -> None:
        self.sequences, self.spans, self.all_layers = sequences, spans_of(spec.text), spec.text == QUESTION
        model = load_model(model_folder, spec.precision)
        last = model.config.get_text_config().num_hidden_layers - 1
        self.kept = len(spec.layers)
        # The last layer comes last, whether it is kept for itself or not.
        self.reader = Reader(model, sequences, self.spans, None if self.all_layers else [*spec.layers, last])

    def __call__(self, rows: list[int]) -> dict[str, Tensor]:
        tensors = {}
        for span, states in self.reader.read(rows).items():
            examples = [row for row in rows for _ in self.sequences[row].span(span)]
            tensors[f"{span}.last"] = checked(states[:, -1], examples, span)
            layers = states if self.all_layers else states[:, : self.kept]
            if layers.shape[1]:
                tensors[span] = checked(layers, examples, span, torch.float16)
        return tensors


def precompute_activations(
    spec: ActivationsSpec,
    model_folder: Path,
    train_path: Path,
    state: Path,
    output: Path,
    meta_path: Path,
    written: Path | None = None,
) -> None:
    """Write the cache of hidden states; shards in `state` that are already there are kept.

    Each process of a launch computes its share of the shards; the first one writes the outputs.
    """
    train = read_jsonl(train_path)
    builder = PromptBuilder.of_model(model_folder, spec.model.chat_template, spec.model.wording)
    sequences = teacher_sequences(spec, builder, train, written)
    prompts = digest_of(sequence.ids for sequence in sequences)
    shards = Shards(state, len(sequences), SHARD_ROWS, prompts)
    if shards.missing():
        shards.compute(_Values(spec, model_folder, sequences), "teacher")
    if shards.complete():
        lengths = torch.tensor([len(sequence.answer) for sequence in sequences], dtype=torch.int32)
        concatenate(shards.paths, output, None if spec.text == QUESTION else {"answer.lengths": lengths})
        meta = _meta(spec, builder, sequences) | {
            "prompts": prompts,
            "model": sha256(model_folder / "manifest.json"),
            "dataset": sha256(train_path),
            "cache": sha256(output),
        }
        write_json(meta_path, meta)


def _meta(spec: ActivationsSpec, builder: PromptBuilder, sequences: list[Sequence]) -> dict:
    lengths = torch.tensor([len(sequence.prompt.ids) for sequence in sequences], dtype=torch.float64)
    first = sequences[0]
    return {
        "answers": digest_of(sequence.answer for sequence in sequences),
        "teacher": spec.teacher.model_dump(),
        "text": spec.text,
        "layers": spec.layers,
        "examples": len(sequences),
        "answer_tokens": sum(len(sequence.answer) for sequence in sequences),
        "positions": {
            name: {"token": builder.tokenizer.decode([first.ids[first.span(name)[0]]])} for name in POSITIONS
        },
        "prompt_tokens": {"mean": lengths.mean().item(), "max": int(lengths.max())},
        # A longer prompt is an error, so anything but 0 here would be a defect.
        "truncated": sum(len(sequence.prompt.ids) > spec.max_prompt_tokens for sequence in sequences),
    }
