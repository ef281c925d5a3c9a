"""Tokens, arguments and positions beyond those of a model, found when it is fetched."""

import errno
import os
import re
from pathlib import Path

import httpx2
import pytest
import torch
from transformers import AutoTokenizer

from fetching import copied, error_of, fetch
from fewshot_distillation.config.sources import FilesModel, HubModel
from fewshot_distillation.config.specs import ModelSpec
from fewshot_distillation.data.models import fetch_model
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.errors import JobError
from fewshot_distillation.modeling.load import load_model
from tiny import fetched_model


@pytest.mark.parametrize("pad", [400, 128_256, -1])
def test_a_padding_token_outside_the_vocabulary(tmp_path: Path, source_folder: Path, pad: int, model):
    """As `[PAD]`, which is often added to a tokenizer and not to its model; padding is never read."""
    source = copied(source_folder, tmp_path / "source", pad_token_id=pad)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(source)
    assert tokenizer.pad_token_id == 400
    fetched = fetched_model(source, tmp_path / "fetched")
    ids = torch.arange(9).unsqueeze(0)
    assert torch.equal(load_model(fetched, "fp32")(ids).logits, model(ids).logits)
    builder = PromptBuilder.of_model(fetched, {"enable_thinking": False})
    assert 400 not in builder.stop_ids and max(builder.build("How many?").ids) < 400


def test_an_end_outside_the_vocabulary(tmp_path: Path, source_folder: Path):
    """Not like padding: the model would have to read and write it."""
    source = copied(source_folder, tmp_path / "source")
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|eot|>"]})
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "<|eot|>")
    tokenizer.save_pretrained(source)
    asked = [ModelSpec(name="tiny", source=FilesModel(files="x"), chat_template={})]
    error = error_of(source, tmp_path, asked=asked)
    assert error.startswith("models.tiny: the tokenizer's '<|eot|>' is token 400, but the model has 400 tokens")


def test_a_way_of_asking_that_the_template_does_not_know(tmp_path: Path, source_folder: Path):
    """Found when the model is fetched, for each purpose."""
    good, bad = (
        ModelSpec(name="tiny", source=FilesModel(files="x"), chat_template=arguments)
        for arguments in ({"enable_thinking": True}, {"enable_thoughts": True})
    )
    assert fetch(source_folder, tmp_path, asked=[good])["num_layers"] == 2
    error = error_of(source_folder, tmp_path, asked=[good, bad])
    assert error == (
        "models.tiny: chat_template.enable_thoughts: the model's chat template has no argument 'enable_thoughts'"
    )


def scaled(**rope) -> dict:
    return {"max_position_embeddings": 64, "rope_parameters": {"rope_theta": 10000.0, **rope}}


POSITIONS = {
    "as they are": (scaled(rope_type="default"), 64),
    "linear": (scaled(rope_type="linear", factor=4.0), 256),
    "dynamic": (scaled(rope_type="dynamic", factor=2.0), 128),
    "yarn": (scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=32), 128),
    "yarn, written out": (scaled(rope_type="yarn", factor=2.0, original_max_position_embeddings=32), 64),
}


@pytest.mark.parametrize(("config", "known"), POSITIONS.values(), ids=POSITIONS)
def test_positions_beyond_the_model_s(tmp_path: Path, source_folder: Path, config: dict, known: int):
    """What scales rotary positions counts; a longer prompt is refused, with both numbers."""
    folder = copied(source_folder, tmp_path / "source", **config)
    builder = PromptBuilder.of_model(folder, {})
    assert builder.limits.positions == known
    word = len(builder.build("one two").ids) - len(builder.build("one").ids)
    fitting = "one" + " two" * ((known - len(builder.build("one").ids)) // word)
    builder.build(fitting)
    with pytest.raises(JobError, match=rf"the prompt has \d+ tokens, more than the {known} positions that the model"):
        builder.build(fitting + " two two")


def test_no_way_to_the_hub(tmp_path: Path, monkeypatch):
    """The client's own error of a connection is no error of the hub."""
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", refused)
    spec = ModelSpec(name="x", source=HubModel(hub="a/b", revision="main"), chat_template={})
    sentence = "a/b at main can't be fetched from the hub: refused; run this on a machine with"
    with pytest.raises(JobError, match=re.escape(sentence)):
        fetch_model(spec, tmp_path / "model", tmp_path, [])


def refused(*_arguments, **_more):
    raise httpx2.ConnectError("refused")


def test_a_full_disk_is_not_the_hub_s_fault(tmp_path: Path, monkeypatch):
    """It goes up as it is to the program, which says what to do about it."""
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", full)
    spec = ModelSpec(name="x", source=HubModel(hub="a/b", revision="main"), chat_template={})
    with pytest.raises(OSError, match="No space left on device"):
        fetch_model(spec, tmp_path / "model", tmp_path, [])


def full(*_arguments, **_more):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
