"""The student's losses and the signal audit for each family, against the whole model reading one sequence at a time."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from families import make_family
from fewshot_distillation.config.conditions import QUESTION
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.data.sequences import Sequence
from fewshot_distillation.student.model import loss_function
from fewshot_distillation.teacher.activations import teacher_sequences
from fewshot_distillation.teacher.cache import TeacherCache
from fewshot_distillation.teacher.signal import Auditor
from tiny import fetched_model, make_model
from training import Setup

FAMILIES = ("qwen3", "llama", "gemma3", "mistral", "gemma2")
PLAIN = {"training__default__lora__dropout": 0.0, "training__default__micro_batch_tokens": 4096}


class Case:
    """A family's model with the teacher's caches, and the same model as its authors wrote it."""

    def __init__(self, name: str, folder: Path, train: Path) -> None:
        source = make_model(folder / "source") if name == "qwen3" else make_family(name, folder / "source")
        arguments = {"enable_thinking": False} if name == "qwen3" else {}
        self.folder = fetched_model(source, folder / "fetched", thinking=False if arguments else None)
        self.setup = Setup(folder / "teacher", self.folder, train, models__tiny__chat_template=arguments)
        self.builder, self.train = PromptBuilder.of_model(self.folder, arguments), read_jsonl(train)
        model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32, attn_implementation="eager")
        self.model: PreTrainedModel = model.eval()

    @torch.inference_mode()
    def whole(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Logits (tokens, vocabulary), and each layer's output before the final norm (tokens, layers, hidden)."""
        found: list[Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda _m, _i, output: found.append(output[0]))
            for layer in self.model.get_decoder().layers
        ]
        logits = self.model(torch.tensor([ids]), use_cache=False).logits[0].float()
        for hook in hooks:
            hook.remove()
        return logits, torch.stack([layer.reshape(len(ids), -1) for layer in found], 1)


@pytest.fixture(scope="module", params=FAMILIES)
def case(request, tmp_path_factory, splits) -> Case:
    return Case(request.param, tmp_path_factory.mktemp(request.param), splits[0])


@pytest.mark.parametrize("condition", ["sft", "layerwise", "logit_kl"])
def test_losses_of_a_fresh_adapter(case: Case, condition: str):
    """It changes nothing yet, so the base model gives the same losses."""
    trainer = case.setup.trainer(condition, **PLAIN)
    examples = trainer.streams.of_step(0, trainer.spec.training.effective_batch_size, trainer.spec.seed)
    ce, distillation, tokens = 0.0, 0.0, 0
    for example in examples:
        sequence = example.sequence
        logits, layers = case.whole(sequence.ids)
        places = list(sequence.span("answer"))
        ce += F.cross_entropy(logits[places], torch.tensor(sequence.answer), reduction="sum").item()
        tokens += len(places)
        for target, cache in zip(trainer.spec.learning.targets, trainer.caches, strict=True):
            states = layers if target.target == "hidden_states" else logits
            taught = cache.of([example.index], [sequence])
            at = list(sequence.span(target.span))
            distillation += loss_function(target)(states[at], taught, target).sum().item() / len(examples)
    found = trainer.step(1)
    assert found["ce"] == pytest.approx(ce / tokens, rel=1e-4)
    if condition != "sft":
        assert found["distillation"] == pytest.approx(distillation, rel=2e-3) and distillation > 1e-3


@torch.inference_mode()
def test_the_signal_audit(case: Case):
    study = case.setup.study()
    spec = study.audit_signal("tiny", "fewshot", QUESTION)
    few = teacher_sequences(spec.activations, case.builder, case.train)
    zero = [Sequence(case.builder.build(row["question"]), []) for row in case.train]
    cache = TeacherCache(case.setup.cache("fewshot", QUESTION, "hidden_states")[0])
    found = Auditor(spec, case.folder, zero, cache).values([2, 0, 1])
    for place, row in enumerate([2, 0, 1]):
        sides = []
        for sequence in (few[row], zero[row]):
            logits, layers = case.whole(sequence.ids)
            (at,) = sequence.span("question_end")
            sides.append((logits[at].double(), F.normalize(layers[at].double(), dim=-1)))
        (teacher, taught), (student, known) = sides
        distance = found["question_end.normalized_distance"][place]
        torch.testing.assert_close(distance, (known - taught).square().sum(-1), rtol=5e-3, atol=1e-4)
        for number, t in enumerate(spec.temperatures):
            log_p, log_q = (teacher / t).log_softmax(-1), (student / t).log_softmax(-1)
            kl = (log_p.exp() * (log_p - log_q)).sum()
            torch.testing.assert_close(found["question_end.kl"][place, number], kl, rtol=5e-3, atol=1e-4)
