"""vLLM itself on the CPU, in this process and as a server, against the transformers backend.

Both compute in float32 and greedily, so answers are the same tokens until the two best logits lie within rounding of
each other (about 1e-5 here), after which the answers may go apart for good. With 48 answers of 24 tokens a tie
that close is unlikely; one answer in sixteen may differ, and none may differ in its first token.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fewshot_distillation.config.catalogue import Server
from fewshot_distillation.errors import JobError
from fewshot_distillation.evaluation import backends
from fewshot_distillation.evaluation.backends.base import Generation, Setting

pytestmark = pytest.mark.vllm


def agree(found: list[Generation], expected: list[Generation]) -> None:
    different = [n for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    assert len(different) <= len(expected) // 16, f"{len(different)} of {len(expected)} answers differ"
    assert all(found[n].ids[:1] == expected[n].ids[:1] for n in different)


def setting(served: Path, adapters: Path, builder, url: str = "http://127.0.0.1:1/v1") -> Setting:
    server, checkpoints = Server(url=url, concurrency=8), sorted(adapters.glob("checkpoint-*"))
    return Setting(served, ["tiny"], builder.tokenizer, "fp32", 1024, 1, server, checkpoints)


def check_every_checkpoint(backend, adapters: Path, prompts, builder, by_transformers: dict) -> None:
    for step in (*by_transformers, None):
        backend.use(step and adapters / f"checkpoint-{step}")
        agree(backend.generate(prompts, 24, builder.stop_ids), by_transformers[step])


def test_in_this_process(served: Path, adapters: Path, prompts, builder, by_transformers: dict):
    """One engine for the base model and both adapters."""
    backend = backends.create("vllm", setting(served, adapters, builder))
    try:
        check_every_checkpoint(backend, adapters, prompts, builder, by_transformers)
        ids = by_transformers[None][0].ids
        backend.use(None)
        stopped = backend.generate(prompts[:1], 24, [ids[5]])[0]
        assert stopped == Generation(ids[: ids.index(ids[5])], "stop"), "the stop token is left out"
        assert backend.generate(prompts[:1], 3, builder.stop_ids)[0] == Generation(ids[:3], "length")
    finally:
        backend.close()


@pytest.fixture(scope="module")
def server(served: Path, adapters: Path, tmp_path_factory) -> Iterator[str]:
    """`vllm serve` on loopback, with one adapter named at its start; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(served)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-model-len", "1024"]
    command += ["--enforce-eager", "--enable-lora", "--max-lora-rank", "8"]
    command += ["--lora-modules", f"named={adapters / 'checkpoint-3'}"]
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        deadline = time.monotonic() + 240
        while not _healthy(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_through_a_server(server: str, served: Path, adapters: Path, prompts, builder, by_transformers: dict):
    backend = backends.create("server", setting(served, adapters, builder, server))
    check_every_checkpoint(backend, adapters, prompts, builder, by_transformers)


def test_a_server_with_another_model(server: str, served: Path, adapters: Path, tmp_path: Path, builder):
    other = setting(tmp_path / "other", adapters, builder, server)
    with pytest.raises(JobError, match=f"serves {served}, but this job needs"):
        backends.create("server", other).use(None)


def test_a_prompt_that_the_server_has_no_room_for(server: str, served: Path, adapters: Path, builder):
    backend = backends.create("server", setting(served, adapters, builder, server))
    backend.use(None)
    with pytest.raises(JobError, match="after 4 of 24 tokens: its context is too short"):
        backend.generate([[5] * 1020], 24, builder.stop_ids)
