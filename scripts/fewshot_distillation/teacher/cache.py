"""The teacher caches on disk: written shard by shard, put together without holding them, mapped when read."""

import json
import struct
from collections.abc import Sequence as Rows
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..config.targets import Span
from ..errors import JobError
from ..runtime.files import atomic_path

_DTYPES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32", torch.int32: "I32"}


def save_shard(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write one shard, whole or not at all."""
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)


def concatenate(shards: list[Path], target: Path, further: dict[str, Tensor] | None = None) -> None:
    """Join shards along the first dimension into one safetensors file, holding one tensor of a shard at a time.

    The safetensors format is a length, a JSON header with each tensor's place, and the raw bytes one after another.
    They are written to their places and not through a map of the file, whose pages would count as this job's memory.

    Args:
        further: tensors that are no shard's, such as lengths.
    """
    first = load_file(shards[0])
    rows = dict.fromkeys(first, 0)
    for path in shards:
        with safe_open(path, framework="pt") as file:
            for name in rows:
                rows[name] += file.get_slice(name).get_shape()[0]
    further = further or {}
    shapes = {name: (rows[name], *tensor.shape[1:]) for name, tensor in first.items()}
    shapes |= {name: tuple(tensor.shape) for name, tensor in further.items()}
    offset, header, whole = 0, {}, first | further
    for name, shape in sorted(shapes.items()):
        size = torch.Size(shape).numel() * whole[name].element_size()
        header[name] = {"dtype": _DTYPES[whole[name].dtype], "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, entry in header.items():
            if name in further:
                written = file.write(_bytes(further[name]))
            else:
                written = sum(_append(file, path, name, first[name]) for path in shards)
            start, end = entry["data_offsets"]
            if written != end - start:
                raise ValueError(f"{target}: {name} has {written} bytes, {end - start} were expected")


def _append(file: BinaryIO, shard: Path, name: str, like: Tensor) -> int:
    """Write the bytes of a shard's tensor, which must have the type and row shape of `like`; how many they are."""
    with safe_open(shard, framework="pt") as source:
        tensor = source.get_tensor(name)
    if tensor.dtype != like.dtype or tensor.shape[1:] != like.shape[1:]:
        raise ValueError(f"{shard}: {name} is {tensor.dtype} {tuple(tensor.shape)}, unlike the first shard's")
    return file.write(_bytes(tensor))


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().data


class TeacherCache:
    """Rows of a cache file, read from the memory map when they are asked for.

    A row is a token of a span: of `question_end` and `prompt_end` one an example, of `answer` as many as the example's
    entry in `answer.lengths` (examples,) int32. `activations.safetensors` holds for each span `<span>.last`
    (rows, hidden), the last layer's outputs as they were computed, and `<span>` (rows, layers, hidden) float16, those
    of all layers (of the chosen ones for `answer`).

    `logits.safetensors` holds `<span>.max` (rows,) float32, the largest logit; `<span>.below` (rows, k) float16, how
    much smaller the k largest are, which keeps likely ones exact; `<span>.indices` (rows, k) int32, their tokens;
    `<span>.logsumexp` (rows, temperatures) float32, of all logits / T; and `<span>.rest`, the logarithm of the
    probability outside the top k.
    """

    def __init__(self, path: Path) -> None:
        self.file = safe_open(path, framework="pt")
        self.slices = {name: self.file.get_slice(name) for name in self.file.keys()}  # noqa: SIM118
        self.spans = sorted({name.partition(".")[0] for name in self.slices})
        self.rows = self.slices[next(name for name in self.slices if not name.endswith(".lengths"))].get_shape()[0]
        self.ends: list[int] | None = None
        if "answer.lengths" in self.slices:
            self.ends = [0, *self.file.get_tensor("answer.lengths").cumsum(0).tolist()]

    @property
    def examples(self) -> int:
        return self.rows if self.ends is None else len(self.ends) - 1

    def span(self, name: Span, example: int) -> range:
        """Return rows of an example's span."""
        if name != "answer":
            return range(example, example + 1)
        return range(self.ends[example], self.ends[example + 1])

    def get(self, name: str, rows: Rows[range]) -> Tensor:
        """Read a (rows, …) tensor of the given ranges of rows, one after another."""
        return torch.cat([self.slices[name][part.start : part.stop] for part in rows])


def checked(values: Tensor, examples: Rows[int], where: str, dtype: torch.dtype | None = None) -> Tensor:
    """Return values on the CPU in a type that they fit, all of them finite.

    Args:
        values: (rows, …), on any device.
        examples: the training example of each row.

    Raises:
        JobError: names the first example with a NaN, an infinity, or a value that the type can't hold.
    """
    dtype = dtype or values.dtype
    rows = values.flatten(1).float()
    # Of a row without numbers the maximum is NaN, and so it is of a row with one.
    largest = rows.abs().amax(1).cpu()
    bad = ~(largest <= torch.finfo(dtype).max)
    if bad.any():
        first = int(bad.nonzero()[0])
        example, value = f"training example {examples[first]}, {where}", largest[first].item()
        if not torch.isfinite(largest[first]):
            raise JobError(f"{example}: the teacher's values are not finite")
        raise JobError(f"{example}: a teacher value of {value:.4g} does not fit {str(dtype).removeprefix('torch.')}")
    return values.to(dtype).cpu()
