"""Answers that are drawn: by the model's own probabilities, and by each prompt's seed alone."""

from pathlib import Path

import pytest
import torch

from fewshot_distillation.config.catalogue import Server
from fewshot_distillation.config.conditions import Sampling
from fewshot_distillation.errors import JobError
from fewshot_distillation.evaluation import backends
from fewshot_distillation.evaluation.backends.base import Setting
from fewshot_distillation.evaluation.backends.sampling import Sampler, seed_of
from fewshot_distillation.evaluation.backends.transformers_backend import TransformersBackend
from tiny import fetched_model, make_model, make_tokenizer, random_prompts, study

PROMPTS = random_prompts(5, 400, 4, 12, seed=1)
END = make_tokenizer().eos_token_id
HOT = Sampling(temperature=1.0, seed=7)


def answers(folder: Path, prompts: list, padded: bool = False, sampling: Sampling | None = HOT) -> list[list[int]]:
    backend = TransformersBackend(folder, "fp32", padded, sampling)
    backend.use(None)
    return [found.ids for found in backend.generate(prompts, 6, [END])]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled")
    return fetched_model(make_model(folder / "source"), folder / "model")


def test_tokens_come_as_often_as_the_model_says():
    """10,000 draws from one distribution at T = 2, each share within four standard errors."""
    logits = torch.tensor([[2.0, 0.0, 1.0, -1.0]])
    expected = (logits / 2).softmax(1)[0]
    sampler = Sampler(Sampling(temperature=2.0, seed=1), [[5]], torch.device("cpu"))
    drawn = torch.stack([sampler(logits, [0])[0] for _ in range(10_000)])
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    assert ((shares - expected).abs() < 4 * (expected * (1 - expected) / len(drawn)).sqrt()).all()


def test_a_draw_depends_on_the_seed_and_the_prompt_and_not_on_the_batch(model: Path):
    together = answers(model, PROMPTS)
    assert answers(model, PROMPTS[::-1])[::-1] == together == [answers(model, [one])[0] for one in PROMPTS]
    assert answers(model, PROMPTS, sampling=Sampling(seed=8)) != together != answers(model, PROMPTS, sampling=None)
    assert len({seed_of(HOT, one) for one in PROMPTS}) == len(PROMPTS)


def test_both_ways_of_generating_draw_the_same(model: Path):
    assert answers(model, PROMPTS, padded=True) == answers(model, PROMPTS)


def test_a_server_is_not_asked_for_drawn_answers(model: Path):
    setting = Setting(model, ["tiny"], make_tokenizer(), "fp32", 64, 0, Server(), [], HOT)
    with pytest.raises(JobError, match="remove `sampling` from the teacher"):
        backends.create("server", setting)


def test_only_what_a_teacher_writes_is_drawn():
    """Its cache, its baseline and every earlier spec stay as they are; its prompt is answered once."""
    drawn = {"shots": 2, "seed": 3, "sampling": {"temperature": 0.7, "seed": 5}}
    own = {"label": "S", "answers": "drawn", "keep": "correct"}
    one = study(
        teachers__drawn=drawn,
        conditions__own=own,
        baselines=None,
        studies={"only": {"models": ["tiny"], "conditions": ["own", "layerwise"], "schedules": ["short"]}},
    )
    spec = one.write_answers("tiny", "drawn")
    assert spec.teacher.sampling == Sampling(temperature=0.7, seed=5)
    assert one.prompts.baselines(list(one.trained)) == ["zeroshot", "fewshot"], "its prompt is that of `fewshot`"
    assert "sampling" not in study().write_answers("tiny", "fewshot").model_dump_json()
    assert one.precompute_activations("tiny", "drawn", "reference").teacher.sampling is None
