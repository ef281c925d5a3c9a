"""Hidden states of the teacher: the frozen model reading each training question after its demonstrations."""

import hashlib
from pathlib import Path

import torch

from ..config.catalogue import POSITIONS
from ..config.specs import ActivationsSpec
from ..data.prompts import Demonstrations, Prompt, PromptBuilder, check_same_query
from ..data.rows import Row, read_jsonl
from ..modeling.hidden_states import Capture, decoder_of
from ..modeling.load import load_model
from ..modeling.prefix import PrefixReader
from ..runtime.errors import JobError
from ..runtime.files import sha256, write_json
from ..runtime.progress import progress
from .cache import concatenate, to_float16
from .shards import Shards

SHARD_ROWS = 64


def teacher_prompts(spec: ActivationsSpec, builder: PromptBuilder, train: list[Row]) -> list[Prompt]:
    """The few-shot prompt of every training example, checked against its zero-shot prompt.

    Raises:
        JobError: a prompt is longer than the limit, or differs from the student's where they are compared.
    """
    demonstrations = Demonstrations(train, spec.teacher.shots, spec.teacher.demonstrations, spec.teacher.seed)
    prompts = []
    for index, row in enumerate(progress(train, "teacher prompts", unit="prompt")):
        example = f"training example {index}"
        shown = demonstrations.draw("train", index, row["question"])
        prompt = builder.build(row["question"], shown)
        if len(prompt.ids) > spec.max_prompt_tokens:
            raise JobError(
                f"{example}: the {spec.teacher.shots}-shot prompt has {len(prompt.ids)} tokens, "
                f"more than max_prompt_tokens {spec.max_prompt_tokens}"
            )
        check_same_query(builder, prompt, builder.build(row["question"]), row["question"], example)
        prompts.append(prompt)
    return prompts


@torch.inference_mode()
def hidden_states(capture: Capture, decoder: torch.nn.Module, reader: PrefixReader, prompt: Prompt) -> dict:
    """(layers, hidden) for each position.

    One unpadded prompt at a time through the layers alone: no logits are made, no work is spent on padding, and a
    prompt's values don't depend on its neighbours in a batch.
    """
    where = next(decoder.parameters()).device
    cache, known = reader.start(prompt.ids)
    positions = torch.tensor([[prompt.position(name) - known for name in POSITIONS]], device=where)
    if positions.min() < 0:
        raise ValueError("the shared beginning of the prompts reaches beyond a compared position")
    with capture.at(positions) as layers:
        decoder(input_ids=torch.tensor([prompt.ids[known:]], device=where), past_key_values=cache, use_cache=True)
    stacked = torch.stack(layers).squeeze(1)
    return {name: stacked[:, i] for i, name in enumerate(POSITIONS)}


def precompute_activations(
    spec: ActivationsSpec, model_folder: Path, train_path: Path, state: Path, output: Path, meta_path: Path
) -> None:
    """Write the cache of hidden states; shards in `state` that are already there are kept.

    Each process of a launch computes its share of the shards; the first one writes the outputs.
    """
    train = read_jsonl(train_path)
    builder = PromptBuilder.of_model(model_folder, spec.model.chat_template)
    prompts = teacher_prompts(spec, builder, train)
    shards = Shards(state, len(prompts), SHARD_ROWS)
    if shards.missing():
        decoder = decoder_of(load_model(model_folder, spec.precision))
        capture = Capture(decoder)
        with torch.inference_mode():
            reader = PrefixReader(decoder, [prompt.ids for prompt in prompts])

        def row(index: int) -> dict[str, torch.Tensor]:
            found = hidden_states(capture, decoder, reader, prompts[index])
            return {
                name: to_float16(values.float().cpu(), f"training example {index}, {name}")
                for name, values in found.items()
            }

        shards.compute(row, "teacher")
    if shards.complete():
        concatenate(shards.paths, output)
        write_json(meta_path, _meta(spec, builder, prompts, train, model_folder, train_path, output))


def _meta(spec, builder, prompts, train, model_folder, train_path, output) -> dict:
    lengths = torch.tensor([len(prompt.ids) for prompt in prompts], dtype=torch.float64)
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(f"{prompt.ids}".encode())
    first = prompts[0]
    return {
        "model": sha256(model_folder / "manifest.json"),
        "dataset": sha256(train_path),
        # Of the prompts as tokens, so of which demonstrations were drawn and in what order.
        "demonstrations": digest.hexdigest(),
        "cache": sha256(output),
        "teacher": spec.teacher.model_dump(),
        "examples": len(train),
        "positions": {
            name: {"token": builder.tokenizer.decode([first.ids[first.position(name)]])} for name in POSITIONS
        },
        "prompt_tokens": {"mean": lengths.mean().item(), "max": int(lengths.max())},
        # A longer prompt is an error, so anything but 0 here would be a defect.
        "truncated": sum(len(prompt.ids) > spec.max_prompt_tokens for prompt in prompts),
    }
