"""GGUF files for llama.cpp: a model without quantisation, and adapters."""

import json
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize
from safetensors.numpy import load_file

OWN = ("general.architecture", "general.file_type")


def first_layers(source: Path, target: Path, layers: int) -> Path:
    """The first layers of a model, in float32."""
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if name == f"{architecture}.block_count":
            writer.add_block_count(layers)
        elif not name.startswith("GGUF.") and name not in OWN:
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    writer.add_file_type(0)
    for tensor in reader.tensors:
        place = tensor.name.split(".")
        if place[0] != "blk" or int(place[1]) < layers:
            values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            writer.add_tensor(tensor.name, values.reshape([int(size) for size in reversed(tensor.shape)]))
    _write(writer)
    return target


def adapter_in_gguf(checkpoint: Path, target: Path) -> Path:
    """An adapter of a Llama model's MLP as GGUF; its attention would need its rows in another order."""
    places = {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}
    config = json.loads((checkpoint / "adapter_config.json").read_text())
    writer = GGUFWriter(target, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config["lora_alpha"]))
    for name, values in load_file(checkpoint / "adapter_model.safetensors").items():
        _, _, after = name.partition("layers.")
        layer, _, module, half, _ = after.split(".")
        suffix = half.replace("lora_A", "lora_a").replace("lora_B", "lora_b")
        writer.add_tensor(f"blk.{layer}.{places[module]}.weight.{suffix}", values.astype(np.float32))
    _write(writer)
    return target


def _write(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
