"""Which engine answers, what a server is asked, and what it says where the server has something else."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from fewshot_distillation.config.catalogue import Evaluation, Server
from fewshot_distillation.evaluation import backends
from fewshot_distillation.evaluation.backends.base import Generation, Setting
from fewshot_distillation.evaluation.backends.server_backend import ServerBackend
from fewshot_distillation.evaluation.backends.vllm_backend import rank_for
from fewshot_distillation.runtime.errors import JobError
from tiny import random_prompts

PROMPTS = random_prompts(9, 400, 3, 25)
STOP = [7, 8]


def answer_to(ids: list[int]) -> list[int]:
    return [*ids[-2:], STOP[0]]


class FakeServer:
    """As much of `vllm serve` as the backend talks to; it remembers what it was asked."""

    def __init__(self, folder: Path, loads: bool, adapters: dict[str, str], failures: int, tokens: bool) -> None:
        self.models = [{"id": "tiny", "object": "model", "root": str(folder), "parent": None}]
        self.models += [{"id": n, "object": "model", "root": p, "parent": "tiny"} for n, p in adapters.items()]
        self.loads, self.failures, self.tokens, self.asked, self.answers_as = loads, failures, tokens, [], None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.reply(200, {"object": "list", "data": outer.models})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("/load_lora_adapter"):
                    if not outer.loads:
                        return self.reply(404, {"detail": "Not Found"})
                    model = {"id": body["lora_name"], "object": "model", "root": body["lora_path"], "parent": "tiny"}
                    outer.models.append(model)
                    return self.reply(200, "loaded")
                if outer.failures > 0:
                    outer.failures -= 1
                    return self.reply(503, {"error": {"message": "busy"}})
                outer.asked.append(body)
                ids = answer_to(body["prompt"])
                choice = {"index": 0, "text": " ".join(map(str, ids[:-1])), "finish_reason": "stop", "logprobs": None}
                choice |= {"token_ids": ids} if outer.tokens else {}
                found = {"id": "1", "object": "text_completion", "created": 0, "choices": [choice]}
                return self.reply(200, found | {"model": outer.answers_as or body["model"]})

            def reply(self, status: int, body) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator:
    """Starts a fake server for the model in `tmp_path / "tiny"`, and a backend that asks it."""
    started = []

    def start(loads=False, adapters=None, failures=0, tokens=True, **settings):
        server = FakeServer(tmp_path / "tiny", loads, adapters or {}, failures, tokens)
        started.append(server)
        return server, backend_at(server.url, tmp_path, **settings)

    yield start
    for server in started:
        server.http.shutdown()


class Tokenizer:
    def __call__(self, text: str, add_special_tokens: bool) -> dict:
        return {"input_ids": [int(word) for word in text.split()]}


def backend_at(url: str, folder: Path, names: tuple[str, ...] = ("tiny",), **settings) -> ServerBackend:
    server = Server(url=url, timeout=10, **settings)
    return ServerBackend(Setting(folder / "tiny", list(names), Tokenizer(), "fp32", 100, 0, server, []))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "checkpoint-3"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"r": 4}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_prompts_reach_the_server_token_for_token(serve):
    server, backend = serve(concurrency=4)
    backend.use(None)
    found = backend.generate(PROMPTS, 5, STOP)
    assert found == [Generation(ids[-2:], "stop") for ids in PROMPTS], "in order, without the stop token"
    assert sorted(body["prompt"] for body in server.asked) == sorted(PROMPTS)
    for body in server.asked:
        assert (body["max_tokens"], body["temperature"], body["stop_token_ids"]) == (5, 0, STOP)


def test_a_server_that_returns_text_alone(serve):
    _, backend = serve(tokens=False)
    backend.use(None)
    assert backend.generate(PROMPTS[:2], 5, STOP) == [Generation(ids[-2:], "stop") for ids in PROMPTS[:2]]


def test_a_busy_server_is_asked_again(serve):
    server, backend = serve(failures=2, concurrency=1)
    backend.use(None)
    assert len(backend.generate(PROMPTS[:1], 5, STOP)) == 1 and server.failures == 0


def test_an_adapter_is_loaded_under_the_digest_of_its_weights(serve, adapter: Path):
    server, backend = serve(loads=True)
    backend.use(adapter)
    first = backend.served
    backend.generate(PROMPTS[:1], 5, STOP)
    assert server.asked[-1]["model"] == first and server.models[-1]["root"] == str(adapter)
    backend.use(adapter)
    assert backend.served == first and len(server.models) == 2, "loaded once"
    (adapter / "adapter_model.safetensors").write_bytes(b"trained anew")
    backend.use(adapter)
    assert backend.served != first


def test_an_adapter_that_is_served_already(serve, adapter: Path, tmp_path: Path):
    _, backend = serve(adapters={"other": str(tmp_path / "run" / "checkpoint-6"), "mine": str(adapter)})
    backend.use(adapter)
    assert backend.served == "mine"
    backend.use(None)
    assert backend.served == "tiny"


def test_an_adapter_that_is_not_served(serve, adapter: Path, tmp_path: Path):
    _, backend = serve(adapters={"other": str(tmp_path / "run" / "checkpoint-6")})
    with pytest.raises(JobError, match=rf"doesn't serve the adapter {adapter} .*--lora-modules NAME={adapter}"):
        backend.use(adapter)


def test_another_model_is_served(serve):
    _, backend = serve(model="bigger")
    with pytest.raises(JobError, match="serves tiny, but this job needs bigger"):
        backend.use(None)


def test_a_model_under_another_name_with_the_same_folder(serve, tmp_path: Path):
    server, _ = serve()
    other = backend_at(server.url, tmp_path, names=("name of the configuration",))
    other.use(None)
    assert other.served == "tiny"


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


def test_auto_takes_vllm_only_on_a_gpu(monkeypatch):
    for gpu, installed, expected in (
        (False, True, "transformers"),
        (True, True, "vllm"),
        (True, False, "transformers"),
        (False, False, "transformers"),
    ):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        monkeypatch.setattr("importlib.util.find_spec", lambda name, installed=installed: installed or None)
        assert backends.choose("auto") == expected
        assert backends.choose("transformers") == "transformers"
    with pytest.raises(JobError, match="vLLM isn't installed here"):
        backends.choose("vllm")


def test_engines_count_in_the_digest_only_where_they_may_answer():
    from fewshot_distillation.config.digests import code_digest

    digests = {name: code_digest("generate.py", *Evaluation(backend=name).modules) for name in ("vllm", "server")}
    assert len({*digests.values(), code_digest("generate.py")}) == 3
    assert "vllm" not in sys.modules, "no engine is loaded to find out"


@pytest.mark.parametrize(("ranks", "expected"), [([4], 8), ([16], 16), ([8, 17], 32), ([], None)])
def test_rank_of_the_engine(tmp_path: Path, ranks: list[int], expected: int | None):
    folders = []
    for number, rank in enumerate(ranks):
        folders.append(tmp_path / f"{number}")
        folders[-1].mkdir()
        (folders[-1] / "adapter_config.json").write_text(json.dumps({"r": rank}))
    assert rank_for(folders) == expected


def test_an_adapter_of_too_high_a_rank(tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text('{"r": 16, "rank_pattern": {"q_proj": 1024}}')
    with pytest.raises(JobError, match="up to rank 512, and these have rank 1024"):
        rank_for([tmp_path])


@pytest.mark.parametrize(
    ("ids", "reason", "expected"),
    [([1, 7], "stop", [1]), ([1, 2], "stop", [1, 2]), ([1, 7], "length", [1, 7]), ([], "stop", [])],
)
def test_the_token_that_ends_an_answer(ids: list[int], reason: str, expected: list[int]):
    assert Generation.of_engine(ids, reason, 2, STOP) == Generation(expected, reason)


def test_an_answer_that_the_engine_gave_up():
    with pytest.raises(JobError, match="because of 'abort'"):
        Generation.of_engine([1], "abort", 2, STOP)


def test_an_answer_that_the_engine_had_no_room_for():
    with pytest.raises(JobError, match="after 1 of 2 tokens: its context is too short"):
        Generation.of_engine([1], "length", 2, STOP)
