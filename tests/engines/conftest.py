"""A small Qwen3 that vLLM can serve on a CPU, with two adapters, and its answers by transformers."""

import importlib.util
import json
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
STEPS = (3, 6)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("vllm") is None:
        skip = pytest.mark.skip(reason="vLLM isn't installed; `make test-vllm` sets it up in an environment of its own")
        for item in items:
            if item.get_closest_marker("vllm"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fetched model with the real Qwen3 tokenizer where that lies beside the checkout, else with a small one."""
    from transformers import AutoTokenizer

    from tiny import fetched_model, make_model, make_tokenizer

    real = DATA / "qwen3-tokenizer"
    tokenizer = AutoTokenizer.from_pretrained(real) if real.exists() else make_tokenizer()
    # vLLM's attention on a CPU wants heads of at least 32 features.
    source = make_model(tmp_path_factory.mktemp("source") / "tiny", tokenizer=tokenizer, head_dim=32)
    return fetched_model(source, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Path:
    """The folder of two checkpoints of rank 4 that change what is generated, with their manifest."""
    from training import strange_adapters

    return strange_adapters(tmp_path_factory.mktemp("run") / "checkpoints", served, STEPS, std=0.1)


@pytest.fixture(scope="session")
def builder(served: Path):
    from fewshot_distillation.data.prompts import PromptBuilder

    return PromptBuilder.of_model(served, {"enable_thinking": False})


@pytest.fixture(scope="session")
def prompts(builder) -> list[list[int]]:
    """Zero-shot and few-shot prompts of word problems, with a beginning that several share."""
    from fewshot_distillation.data.word_problems import word_problems

    rows = word_problems(12, 1, seed=3)["train"]
    return [builder.build(row["question"], rows[10 : 10 + n]).ids for n in (0, 2) for row in rows[:8]]


@pytest.fixture(scope="session")
def by_transformers(served: Path, adapters: Path, prompts, builder) -> dict:
    """Answers by the transformers backend, for the base model (None) and each checkpoint."""
    from fewshot_distillation.evaluation.backends.transformers_backend import TransformersBackend

    backend, found = TransformersBackend(served, "fp32"), {}
    for step in (None, *STEPS):
        backend.use(step and adapters / f"checkpoint-{step}")
        found[step] = backend.generate(prompts, 24, builder.stop_ids)
    assert len({json.dumps([g.ids for g in answers]) for answers in found.values()}) == 3, "adapters matter"
    return found
