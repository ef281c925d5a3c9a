"""Exported models, loaded as their users load them."""

import json
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import ModelCard
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from fewshot_distillation.config.deliverables import export_spec, exports
from fewshot_distillation.config.load import load
from fewshot_distillation.config.study import Study
from fewshot_distillation.export.choose import LAST, ON_VALIDATION, choose
from project import Project

LOADERS = {"adapter": AutoPeftModelForCausalLM, "merged": AutoModelForCausalLM}
RUN = ("runs", "tiny", "layerwise", "lambda0.5", "seed42", "short")


@pytest.fixture(scope="module")
def exported(finished: Project) -> Path:
    finished.run("export_tiny")
    return finished.path("export", "tiny", "chosen")


@pytest.mark.parametrize("kind", LOADERS)
def test_it_answers_as_it_did_in_the_study(kind: str, exported: Path, finished: Project):
    """Greedy answers of the loaded model are the stored ones, by nothing but transformers' own functions."""
    model = LOADERS[kind].from_pretrained(exported / kind)
    tokenizer = AutoTokenizer.from_pretrained(exported / kind)
    stored = pd.read_parquet(finished.path(*RUN, "predictions.parquet")).query("step == 4")
    assert len(stored) == 10
    for question, text in zip(stored["question"], stored["text"], strict=True):
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True, enable_thinking=False, return_tensors="pt", return_dict=True,
        )  # fmt: skip
        written = model.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        assert tokenizer.decode(written, skip_special_tokens=True) == text


@pytest.mark.parametrize("kind", LOADERS)
def test_its_card_says_what_it_is(kind: str, exported: Path, finished: Project):
    card = ModelCard.load(exported / kind / "README.md")
    assert card.data.library_name == {"adapter": "peft", "merged": "transformers"}[kind]
    assert card.data.pipeline_tag == "text-generation"
    (result,) = card.data.eval_results
    accuracy = pd.read_csv(finished.path(*RUN, "accuracy.csv")).set_index("step").loc[4]
    assert result.dataset_name == "problems" and result.metric_value == round(100 * accuracy["accuracy"], 2)
    assert f"| **this model**, C, step 4 | {accuracy['correct']:.0f} of 10 |" in card.text
    for expected in ("Base · 0-shot", "A · 4-shot", "B · SFT, step 4", "Against B · SFT", "Σ_l ‖ĥ_l(student)", LAST):
        assert expected in card.text
    assert "snakemake export_tiny" in card.text and "{{" not in card.text
    note = json.loads((exported / "manifest.json").read_text())
    assert note["step"] == 4 and note["chosen"]["condition"] == "layerwise"


def test_the_example_on_the_card_runs(exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    for kind in LOADERS:
        monkeypatch.chdir(exported / kind)
        code = (exported / kind / "README.md").read_text().split("```python\n")[1].split("```")[0]
        exec(code, {})
        assert "A question" in capsys.readouterr().out


def test_validation_chooses(tmp_path: Path, finished: Project):
    """The best of all checkpoints of all λ, the earliest of equals; test accuracies don't count."""
    config = {**finished.config, "datasets": {"problems": {**finished.config["datasets"]["problems"], "validation": 4}}}
    spec = export_spec(Study(load(config)), "tiny", "chosen")
    runs = [tmp_path / str(number) for number in range(len(spec.candidates))]
    assert {(one.condition, one.lam) for one in spec.candidates} == {
        ("layerwise", 0.5), ("layerwise", 0.1), ("logit_kl", 0.5),
    }  # fmt: skip
    for run, (early, late) in zip(runs, [(0.2, 0.3), (0.5, 0.5), (0.4, 0.5)], strict=True):
        (run / "validation").mkdir(parents=True)
        pd.DataFrame({"step": [4, 2], "accuracy": [late, early]}).to_csv(run / "validation" / "accuracy.csv")
        pd.DataFrame({"step": [2, 4], "accuracy": [0.9, 0.0]}).to_csv(run / "accuracy.csv")
    choice = choose(spec.candidates, runs)
    assert (choice.run, choice.step, choice.rule) == (runs[1], 2, ON_VALIDATION)


def test_names_of_exports(finished: Project):
    names = exports(Study(load(finished.config)), "tiny")
    assert set(names) == {"chosen", "sft_0", "layerwise_0.5", "layerwise_0.1", "logit_kl_0.5"}
    assert all(len(runs) == 1 for runs in names.values()), "without validation rows there is nothing to choose by"
