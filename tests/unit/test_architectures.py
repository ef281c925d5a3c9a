"""Models of other families go through the whole study: Llama (also without a chat template), Gemma 2 and 3, Mistral."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from families import FAMILIES, WINDOW, make_family
from fewshot_distillation.data.checkpoints import checkpoints_of
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.evaluation.backends.transformers_backend import TransformersBackend
from fewshot_distillation.evaluation.generation import evaluate_checkpoints
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.teacher.activations import teacher_sequences
from fewshot_distillation.teacher.cache import TeacherCache
from tiny import fetched_model, study
from training import LAMBDA, Setup

CHANGES = {"models__tiny__chat_template": {}, "training__default__learning_rate": 5e-3}
ROWS = [
    {"question": " Ann has 3 coins. How many? ", "answer": "She has 3.\n#### 3"},
    {"question": "And Zoé?", "answer": "1\n#### 1"},
]


class Family:
    """One family's tiny model: fetched, with the teacher's caches and the prompts they belong to."""

    def __init__(self, name: str, folder: Path, splits: tuple[Path, Path]) -> None:
        self.name, self.test_path = name, splits[1]
        self.folder = fetched_model(make_family(name, folder / "source"), folder / "fetched", thinking=None)
        self.setup = Setup(folder / "teacher", self.folder, splits[0], **CHANGES)
        self.study = study(**CHANGES)
        self.builder = PromptBuilder.of_model(self.folder, {})
        spec = self.study.precompute_activations("tiny", "fewshot", "question")
        self.prompts = teacher_sequences(spec, self.builder, read_jsonl(splits[0]))

    def reference(self):
        """The model as transformers alone loads it, with the attention that its authors wrote."""
        return AutoModelForCausalLM.from_pretrained(
            self.folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory, splits) -> Family:
    return Family(request.param, tmp_path_factory.mktemp(request.param.replace(" ", "_")), splits)


PROMPTS = {
    "llama": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nAnn has 3 coins. How many?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nShe has 3.\n#### 3<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nAnd Zoé?<|eot_id|>/<|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama base": "<|begin_of_text|>Question:  Ann has 3 coins. How many? \nAnswer: She has 3.\n#### 3\n\n"
    "Question: And Zoé?\n/Answer:",
    "gemma3": "<bos><start_of_turn>user\nAnn has 3 coins. How many?<end_of_turn>\n<start_of_turn>model\nShe has 3.\n"
    "#### 3<end_of_turn>\n<start_of_turn>user\nAnd Zoé?<end_of_turn>\n/<start_of_turn>model\n",
}
PROMPTS["mistral"] = "<bos>[INST]  Ann has 3 coins. How many?  [/INST] She has 3.\n#### 3<eos>[INST] And Zoé?/ [/INST]"
PROMPTS["gemma2"] = PROMPTS["gemma3"]
ENDS = {"llama": "<|eot_id|>", "llama base": "<|end_of_text|>", "gemma2": "<end_of_turn>", "gemma3": "<end_of_turn>"}
ENDS["mistral"] = "<eos>"


def test_prompts(family: Family):
    """In the family's own format, with one beginning of text; the question ends at the stroke."""
    prompt, decode = family.builder.build(ROWS[1]["question"], ROWS[:1]), family.builder.tokenizer.decode
    halves = decode(prompt.ids[: prompt.question_end + 1]), decode(prompt.ids[prompt.question_end + 1 :])
    assert "/".join(halves) == PROMPTS[family.name] and prompt.prompt_end == len(prompt.ids) - 1
    answer = decode(family.builder.answer_ids(ROWS[0]["answer"]))
    space = " " if family.name in ("llama base", "mistral") else ""
    assert answer == f"{space}She has 3.\n#### 3{ENDS[family.name]}"
    assert set(decode([i]) for i in family.builder.stop_ids) >= {ENDS[family.name]}


def test_an_answer_s_tokens_are_those_of_the_text(family: Family):
    """As the model would be shown them in a demonstration."""
    row = ROWS[0]
    prompt, answer = family.builder.build(row["question"]).ids, family.builder.answer_ids(row["answer"])
    shown = family.builder.build("More?", [row]).ids
    end = len(prompt) + len(answer) - (1 if family.name == "llama base" else 0)
    assert shown[:end] == (prompt + answer)[:end]


@torch.inference_mode()
def test_teacher_caches(family: Family):
    """Hidden states and logits against a full forward pass of the untouched model."""
    model, hidden = family.reference(), TeacherCache(family.setup.cache("fewshot", "question", "hidden_states")[0])
    logits = TeacherCache(family.setup.cache("fewshot", "question", "logits")[0])
    for row, prompt in enumerate(family.prompts):
        assert len(prompt.ids) > 4 * WINDOW
        full = model(torch.tensor([prompt.ids]), output_hidden_states=True)
        for name in ("question_end", "prompt_end"):
            (place,), here = prompt.span(name), [range(row, row + 1)]
            states = hidden.get(name, here)[0].float()
            assert states.shape == (3, 32)
            for layer in (0, 1):
                expected = full.hidden_states[layer + 1][0, place]
                torch.testing.assert_close(states[layer], expected, rtol=2e-3, atol=2e-3)
            torch.testing.assert_close(
                model.model.norm(states[2]), full.hidden_states[3][0, place], rtol=1e-2, atol=1e-2
            )
            values = logits.get(f"{name}.max", here) - logits.get(f"{name}.below", here)[0].float()
            indices = logits.get(f"{name}.indices", here)[0].long()
            torch.testing.assert_close(values, full.logits[0, place][indices], rtol=2e-3, atol=2e-3)


@torch.inference_mode()
def test_what_makes_the_family_special_matters(family: Family):
    """A wider window, another cap: were they ignored, the tests here could not see it."""
    ids = torch.tensor([family.prompts[0].ids])
    before = family.reference()(ids).logits
    settings = {
        "mistral": ("sliding_window",),
        "gemma2": ("sliding_window", "attn_logit_softcapping", "final_logit_softcapping"),
    }
    settings["gemma3"] = ("sliding_window", "final_logit_softcapping")
    for name in settings.get(family.name, ()):
        changed = AutoModelForCausalLM.from_pretrained(
            family.folder, attn_implementation="eager", **{name: 1000 if name == "sliding_window" else 20.0}
        )
        assert (changed(ids).logits - before).abs().max() > 0.1, name


# Losses of the others are compared for each family in test_family_losses.py.
CONDITIONS = [pytest.param(name, marks=() if name == "sft" else pytest.mark.slow) for name in LAMBDA]


@pytest.fixture(scope="module", params=CONDITIONS)
def run(request, family: Family, tmp_path_factory) -> Path:
    return family.setup.train(request.param, tmp_path_factory.mktemp("run"))


def test_training_and_evaluation(family: Family, run: Path, tmp_path: Path):
    """The loss falls, and checkpoints answer token for token as `generate` of transformers with the merged adapter."""
    metrics = pd.read_csv(run / "metrics.csv")
    first, second = metrics["loss"].iloc[:3], metrics["loss"].iloc[3:]
    assert len(second) == 3 and second.mean() < first.mean(), "the second epoch's steps against the first's"
    checkpoint, builder = run / "checkpoints" / "checkpoint-6", family.builder
    test = read_jsonl(family.test_path)
    prompts = [prompt.ids for prompt in family.prompts[:3]] + [builder.build(row["question"]).ids for row in test]
    merged = PeftModel.from_pretrained(family.reference(), str(checkpoint)).merge_and_unload()
    expected = [generated(merged, ids, builder.stop_ids) for ids in prompts]
    for padded in (False, True):
        backend = TransformersBackend(family.folder, "fp32", padded)
        backend.use(checkpoint)
        assert [g.ids for g in backend.generate(prompts, 12, builder.stop_ids)] == expected
    assert len({tuple(ids) for ids in expected}) > 3, "answers depend on the prompt"
    backend.use(None)
    assert [g.ids for g in backend.generate(prompts, 12, builder.stop_ids)] != expected

    spec = family.study.eval_checkpoint("tiny", "sft", "0", "42", "short")
    output = tmp_path / "predictions.parquet"
    checkpoints = checkpoints_of(run / "checkpoints" / "manifest.json", spec.checkpoints)
    evaluate_checkpoints(spec, family.folder, checkpoints, family.test_path, tmp_path / "state", output)
    table = pd.read_parquet(output)
    texts = [builder.tokenizer.decode(ids[:8], skip_special_tokens=True) for ids in expected[3:]]
    assert list(table.loc[table["step"] == 6, "text"]) == texts


@torch.inference_mode()
def generated(model, ids: list[int], stop: list[int]) -> list[int]:
    """Greedy answer to one prompt, without the stop token."""
    given = torch.tensor([ids])
    output = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=stop,
        pad_token_id=0,
    )[0, len(ids) :].tolist()
    return output[:-1] if output[-1] in stop else output


def test_manifest(family: Family):
    manifest = json.loads((family.folder / "manifest.json").read_text())
    assert (manifest["num_layers"], manifest["hidden_size"]) == (3, 32)
    model = load_model(family.folder, "fp32")
    assert manifest["architecture"] == type(model).__name__
