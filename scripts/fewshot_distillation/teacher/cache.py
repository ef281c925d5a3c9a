"""The teacher caches on disk: written shard by shard, put together without holding them, mapped when read."""

import json
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..runtime.errors import JobError
from ..runtime.files import atomic_path

_DTYPES = {torch.float16: ("F16", np.float16), torch.float32: ("F32", np.float32), torch.int32: ("I32", np.int32)}


def save_shard(path: Path, tensors: dict[str, Tensor]) -> None:
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)


def concatenate(shards: list[Path], target: Path) -> None:
    """Join shards along the first dimension into one safetensors file, holding one tensor of a shard at a time.

    The safetensors format is a length, a JSON header with each tensor's place, and the raw bytes one after another.
    They are written to their places and not through a map of the file, whose pages would count as this job's memory.
    """
    first = load_file(shards[0])
    counts = []
    for path in shards:
        with safe_open(path, framework="pt") as file:
            counts.append(file.get_slice(next(iter(first))).get_shape()[0])
    total, offset, header = sum(counts), 0, {}
    for name, tensor in sorted(first.items()):
        kind, scalar = _DTYPES[tensor.dtype]
        shape = (total, *tensor.shape[1:])
        size = int(np.prod(shape)) * np.dtype(scalar).itemsize
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in header:
            written = sum(_append(file, path, name, first[name]) for path in shards)
            start, end = header[name]["data_offsets"]
            if written != end - start:
                raise ValueError(f"{target}: {name} has {written} bytes, {end - start} were expected")


def _append(file: BinaryIO, shard: Path, name: str, like: Tensor) -> int:
    """Write the bytes of a shard's tensor, which must have the type and row shape of `like`; how many they are."""
    with safe_open(shard, framework="pt") as source:
        tensor = source.get_tensor(name)
    if tensor.dtype != like.dtype or tensor.shape[1:] != like.shape[1:]:
        raise ValueError(f"{shard}: {name} is {tensor.dtype} {tuple(tensor.shape)}, unlike the first shard's")
    return file.write(tensor.numpy().data.cast("B"))


class TeacherCache:
    """Rows of a cache file, read from the memory map when they are asked for.

    `activations.safetensors` holds a (N, layers, hidden) float16 tensor for each position; `logits.safetensors` holds
    `<position>.values` float16 and `<position>.indices` int32, both (N, k), and `<position>.logsumexp` float32
    (N, temperatures).
    """

    def __init__(self, path: Path) -> None:
        self.file = safe_open(path, framework="pt")
        self.slices = {name: self.file.get_slice(name) for name in self.file.keys()}  # noqa: SIM118
        self.rows = next(iter(self.slices.values())).get_shape()[0]

    def get(self, name: str, rows: list[int]) -> Tensor:
        """(len(rows), …) tensor of the given examples."""
        return torch.cat([self.slices[name][i : i + 1] for i in rows])


def to_float16(values: Tensor, example: str) -> Tensor:
    """Float16 of finite values that fit.

    Raises:
        JobError: names the example with a NaN, an infinity or a value beyond ±65504.
    """
    if not torch.isfinite(values).all():
        raise JobError(f"{example}: the teacher's values are not finite")
    largest = values.abs().max().item()
    if largest > torch.finfo(torch.float16).max:
        raise JobError(f"{example}: a teacher value of {largest:.4g} does not fit float16 (at most 65504)")
    return values.to(torch.float16)
