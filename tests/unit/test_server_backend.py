"""What a server is asked, what is made of its answers, and what is said where it has or does something else."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_server import STOP, FakeServer, Tokenizer
from fewshot_distillation.config.catalogue import Server
from fewshot_distillation.errors import JobError
from fewshot_distillation.evaluation.backends.base import Generation, Setting
from fewshot_distillation.evaluation.backends.server_backend import ServerBackend
from tiny import random_prompts

PROMPTS = [[token + 10 for token in ids] for ids in random_prompts(9, 300, 3, 25)]
# What OpenAI documents for completions, and what vLLM adds to it.
DOCUMENTED = {"model", "prompt", "max_tokens", "temperature", "top_p", "stop", "logit_bias"}
OF_VLLM = DOCUMENTED - {"stop"} | {"stop_token_ids", "ignore_eos", "repetition_penalty", "return_token_ids"}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator:
    """Starts a fake server for the model in `tmp_path / "tiny"`, and a backend that asks it."""
    started = []

    def start(names: tuple[str, ...] = ("tiny",), tokenizer: Tokenizer | None = None, **given):
        settings = {key: given.pop(key) for key in ("model", "concurrency") if key in given}
        server = FakeServer(tmp_path / "tiny", **given)
        started.append(server)
        return server, backend_at(server.url, tmp_path, names, tokenizer, **settings)

    yield start
    for server in started:
        server.http.shutdown()


def backend_at(
    url: str, folder: Path, names: tuple[str, ...] = ("tiny",), tokenizer: Tokenizer | None = None, **settings
) -> ServerBackend:
    server = Server(url=url, timeout=10, **settings)
    return ServerBackend(Setting(folder / "tiny", list(names), tokenizer or Tokenizer(), "fp32", 100, 0, server, []))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "checkpoint-3"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"r": 4}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


OTHER = {"kind": "somebody", "ends": STOP}


@pytest.mark.parametrize("kind", [{}, OTHER], ids=["vllm", "other"])
def test_prompts_reach_the_server_token_for_token(serve, kind: dict):
    server, backend = serve(concurrency=4, **kind)
    backend.use(None)
    found = backend.generate(PROMPTS, 5, STOP)
    assert found == [Generation(ids[-2:], "stop") for ids in PROMPTS], "in order, without the stop token"
    assert sorted(body["prompt"] for body in server.questions) == sorted(PROMPTS)
    assert {(body["max_tokens"], body["temperature"]) for body in server.questions} == {(5, 0)}


def test_a_server_is_sent_only_what_its_kind_documents(serve):
    vllm, backend = serve()
    backend.use(None)
    backend.generate(PROMPTS[:2], 5, STOP)
    assert {key for body in vllm.asked for key in body} <= OF_VLLM and backend.engine == "server (vLLM)"
    assert all(body["stop_token_ids"] == STOP and body["ignore_eos"] for body in vllm.asked)
    other, backend = serve(**OTHER)
    backend.use(None)
    backend.generate(PROMPTS[:2], 5, STOP)
    assert {key for body in other.asked for key in body} <= DOCUMENTED and backend.engine == "server (OpenAI protocol)"
    assert all(body["stop"] == ["7", "8"] for body in other.questions)


def test_a_server_that_does_not_end_answers(serve):
    for ends in ((), STOP[:1]):
        _, backend = serve(kind="somebody", ends=ends)
        backend.use(None)
        missing = r"'8' \(8\)" if ends else r"'7' \(7\), '8' \(8\)"
        with pytest.raises(JobError, match=f"doesn't end an answer at {missing}, so answers would run to the limit"):
            backend.generate(PROMPTS, 5, STOP)


@pytest.mark.parametrize("bias", ["ignored", "refused"])
def test_a_server_that_can_not_be_made_to_end(serve, bias: str, caplog):
    """Then one answer has to tell, which may have been a long one."""
    with caplog.at_level(logging.WARNING):
        _, backend = serve(**OTHER, bias=bias)
        backend.use(None)
        assert {g.finish_reason for g in backend.generate(PROMPTS, 5, STOP)} == {"stop"} and not caplog.text
        _, backend = serve(kind="somebody", bias=bias)
        backend.use(None)
        assert {g.finish_reason for g in backend.generate(PROMPTS, 5, STOP)} == {"length"}
        assert "the first question ran to the limit of 5 tokens" in caplog.text


@pytest.mark.parametrize("kind", [{}, OTHER], ids=["vllm", "other"])
def test_a_server_with_another_tokenizer(serve, kind: dict):
    _, backend = serve(shift=1, **kind)
    backend.use(None)
    with pytest.raises(
        JobError, match=r"reads a question as \d+ tokens.* the model's tokenizer as \d+ .*another model"
    ):
        backend.generate(PROMPTS, 5, STOP)


def test_a_server_that_adds_the_special_tokens_of_the_tokenizer_to_a_text(serve):
    """It is asked for nothing but its count, and prompts are token ids, to which nothing is added."""
    _, backend = serve(tokenizer=Tokenizer(added=(1,)), **OTHER)
    backend.use(None)
    assert len(backend.generate(PROMPTS, 5, STOP)) == len(PROMPTS)


def test_a_server_that_cuts_prompts(serve):
    _, backend = serve(room=4, **OTHER)
    backend.use(None)
    with pytest.raises(JobError, match=r"read 4 tokens of a prompt of \d+"):
        backend.generate([[11, 12, 13, 14], *PROMPTS], 5, STOP)


def test_a_busy_server_is_asked_again(serve):
    server, backend = serve(failures=2, concurrency=1)
    backend.use(None)
    assert len(backend.generate(PROMPTS[:1], 5, STOP)) == 1 and server.failures == 0


def test_an_adapter_is_loaded_under_the_digest_of_its_weights(serve, adapter: Path):
    server, backend = serve(loads=True)
    backend.use(adapter)
    first = backend.protocol.served
    backend.generate(PROMPTS[:1], 5, STOP)
    assert server.asked[-1]["model"] == first and server.models[-1]["root"] == str(adapter)
    backend.use(adapter)
    assert backend.protocol.served == first and len(server.models) == 2, "loaded once"
    (adapter / "adapter_model.safetensors").write_bytes(b"trained anew")
    backend.use(adapter)
    assert backend.protocol.served != first


def test_an_adapter_that_is_served_already(serve, adapter: Path, tmp_path: Path):
    _, backend = serve(adapters={"other": str(tmp_path / "run" / "checkpoint-6"), "mine": str(adapter)})
    backend.use(adapter)
    assert backend.protocol.served == "mine"
    backend.use(None)
    assert backend.protocol.served == "tiny"


def test_an_adapter_that_is_not_served(serve, adapter: Path, tmp_path: Path):
    _, backend = serve(adapters={"other": str(tmp_path / "run" / "checkpoint-6")})
    with pytest.raises(JobError, match=rf"doesn't serve the adapter {adapter} .*--lora-modules NAME={adapter}"):
        backend.use(adapter)


def test_a_server_of_another_kind_applies_no_adapters(serve, adapter: Path):
    server, backend = serve(loads=True, **OTHER)
    with pytest.raises(JobError, match=rf"neither vLLM nor llama.cpp, so it can't be asked for the adapter {adapter}"):
        backend.use(adapter)
    assert len(server.models) == 1


def test_another_model_is_served(serve):
    _, backend = serve(model="bigger")
    with pytest.raises(JobError, match="serves tiny, but this job needs bigger"):
        backend.use(None)


def test_a_model_under_another_name_with_the_same_folder(serve):
    _, backend = serve(names=("name of the configuration",))
    backend.use(None)
    assert backend.protocol.served == "tiny"


def test_an_answer_of_another_model(serve):
    server, backend = serve()
    backend.use(None)
    server.answers_as = "other"
    with pytest.raises(JobError, match="answered with 'other', but 'tiny' was asked for"):
        backend.generate(PROMPTS[:1], 5, STOP)


def test_no_server(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("fewshot_distillation.evaluation.backends.server_backend.RETRIES", 0)
    with pytest.raises(JobError, match="no server answers at http://127.0.0.1:9/v1.*vllm serve"):
        backend_at("http://127.0.0.1:9/v1", tmp_path).use(None)


def test_whole_models_are_not_changed_on_a_server(serve, tmp_path: Path):
    _, backend = serve()
    with pytest.raises(JobError, match="is a whole model"):
        backend.use(tmp_path)
