"""Which backend a job uses, and what is made of an engine's answers."""

import contextlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fewshot_distillation.config.catalogue import Evaluation, Server
from fewshot_distillation.errors import JobError
from fewshot_distillation.evaluation import backends
from fewshot_distillation.evaluation.backends.base import Generation, Setting
from fewshot_distillation.evaluation.backends.vllm_backend import rank_for
from fewshot_distillation.evaluation.generation import Request, answer

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
STOP = [7, 8]


def test_auto_takes_vllm_only_on_a_gpu(monkeypatch, caplog):
    real = importlib.util.find_spec
    for gpu, installed, expected in (
        (False, True, "transformers"),
        (True, True, "vllm"),
        (True, False, "transformers"),
        (False, False, "transformers"),
    ):
        found = {"vllm": object() if installed else None}
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        monkeypatch.setattr("importlib.util.find_spec", lambda n, *a, f=found: f[n] if n in f else real(n, *a))
        caplog.clear()
        assert backends.choose("auto") == expected
        assert ("vLLM isn't installed here" in caplog.text) == (gpu and not installed)
        assert backends.choose("transformers") == "transformers"
    with pytest.raises(JobError, match="vLLM isn't installed here; install envs/requirements-gpu.txt; or choose"):
        backends.choose("vllm")


ENGINE = """
def available():
    return {reason!r}

def create(setting):
    return "an engine"

def preference():
    return 3
"""
ASK = """
import sys
from fewshot_distillation.config.catalogue import Evaluation, Server
from fewshot_distillation.evaluation import backends
backend = sys.argv[1]
modules = Evaluation(backend=backend).modules
try:
    name = backends.choose(backend)
    print(*modules, name, backends.create(name, None), sep="|")
except backends.JobError as error:
    print(error)
"""


@pytest.mark.parametrize("backend", ["mine", "auto"])
def test_a_backend_is_added_by_its_file_alone(tmp_path: Path, backend: str):
    """The configuration takes its name, `auto` prefers it as its file says, and digests of `auto` count it."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "scripts" / "fewshot_distillation" / "evaluation" / "backends" / "mine_backend.py"
    automatic = [f"evaluation.backends.{name}_backend" for name in ("mine", "transformers", "vllm")]

    def ask() -> str:
        command = [sys.executable, "-c", ASK, backend]
        done = subprocess.run(command, cwd=tmp_path / "scripts", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    file.write_text(ENGINE.format(reason=None))
    modules = automatic if backend == "auto" else automatic[:1]
    assert ask() == "|".join([*modules, "mine", "an engine"])
    if backend == "mine":
        file.write_text(ENGINE.format(reason="it needs a licence"))
        assert ask() == "evaluation.backend: it needs a licence; or choose another backend"


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


class StandInForVllm(SimpleNamespace):
    """What the backend takes of vLLM: an engine that answers every prompt with its last token."""

    class LLM:
        def __init__(self, folder: str, **settings) -> None:
            self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=lambda: None))

        def generate(self, prompts: list, chosen: object, **more) -> list[SimpleNamespace]:
            return [
                SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids[-1:], finish_reason="stop")]) for ids in prompts
            ]

    SamplingParams, TokensPrompt = staticmethod(dict), staticmethod(lambda prompt_token_ids: prompt_token_ids)


def test_answers_of_vllm_become_a_table_without_it(tmp_path: Path, model_folder: Path, builder, monkeypatch):
    """vLLM's own tests, which need it installed, run apart from these."""
    monkeypatch.setitem(sys.modules, "vllm", StandInForVllm(__path__=[]))
    monkeypatch.setitem(sys.modules, "vllm.lora", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "vllm.lora.request", SimpleNamespace(LoRARequest=tuple))
    requests = [Request(n, 0, 0, f"How many are {n} and 1?", builder.build(f"How many are {n}?").ids) for n in range(3)]
    setting = Setting(model_folder, [], builder.tokenizer, "fp32", 100, 0, Server(), [])
    with contextlib.closing(backends.create("vllm", setting)) as backend:
        table = answer(requests, backend, None, builder, Evaluation(max_new_tokens=4), tmp_path, "base")
    assert list(table["backend"]) == ["vllm"] * 3
    assert sorted(map(list, table["token_ids"])) == sorted(request.ids[-1:] for request in requests)
