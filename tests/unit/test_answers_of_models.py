"""Requests, batches and answers of base models and checkpoints, which survive an interruption."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fewshot_distillation.config.catalogue import Draw, Evaluation, Lora
from fewshot_distillation.config.conditions import Teacher
from fewshot_distillation.data.checkpoints import checkpoints_of
from fewshot_distillation.data.demonstrations import Demonstrations
from fewshot_distillation.data.limits import Limits
from fewshot_distillation.data.prompts import PromptBuilder, digest_of
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.data.sequences import answer_tokens
from fewshot_distillation.errors import JobError
from fewshot_distillation.evaluation import generation
from fewshot_distillation.evaluation.backends.base import Generation
from fewshot_distillation.evaluation.generation import Request, answer, batches, questions_of, requests_for
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.student.model import add_lora
from tiny import fetched_model, make_model, random_prompts, study, write_rows
from training import strange_adapters


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, model_folder: Path) -> Path:
    """Two checkpoints with adapters that change what is generated, and their manifest."""
    return strange_adapters(tmp_path_factory.mktemp("checkpoints"), model_folder, (3, 6), std=0.3)


class Counting:
    """A backend that counts and fails when it is told to."""

    name = engine = "counting"
    batch_tokens = None

    def __init__(self, fail_at: int = 0) -> None:
        self.calls, self.adapters, self.fail_at = 0, [], fail_at

    def use(self, adapter: Path | None) -> None:
        self.adapters.append(adapter)

    def generate(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        return [Generation(ids[:3], "stop") for ids in prompts]


REQUESTS = [Request(n, 0, 0, f"question {n}", ids) for n, ids in enumerate(random_prompts(20, 400, 20, 120))]
SETTINGS = Evaluation(max_new_tokens=10, batch_tokens=512)


def test_batches_hold_every_request_once_and_stay_within_their_tokens():
    found = batches(REQUESTS, 10, 512)
    assert sorted(r.question_index for batch in found for r in batch) == list(range(20)) and len(found) > 3
    for batch in found:
        assert len(batch) * (max(len(r.ids) for r in batch) + 10) <= 512
    lengths = [len(r.ids) for batch in found for r in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert batches(REQUESTS[::-1], 10, 512) == found


def test_a_prompt_above_the_limit_of_tokens_goes_alone():
    long = Request(0, 0, 0, "long", [5] * 600)
    assert [len(batch) for batch in batches([long, *REQUESTS[:2]], 10, 512)] == [1, 2]


def test_answers_resume_from_saved_batches(builder, tmp_path: Path):
    total, interrupted, rest, idle = len(batches(REQUESTS, 10, 512)), Counting(fail_at=3), Counting(), Counting()

    def answers(backend: Counting, folder: str = "a") -> pd.DataFrame:
        return answer(REQUESTS, backend, None, builder, SETTINGS, tmp_path / folder, "answers")

    with pytest.raises(KeyboardInterrupt):
        answers(interrupted)
    resumed = answers(rest)
    assert interrupted.calls == 3 and rest.calls == total - 2
    pd.testing.assert_frame_equal(answers(idle), resumed)
    assert idle.calls == 0 and idle.adapters == []  # not even the model is loaded
    pd.testing.assert_frame_equal(answers(Counting(), "b"), resumed)
    for row in resumed.itertuples():
        assert row.text == builder.tokenizer.decode(REQUESTS[row.question_index].ids[:3])


def test_answers_to_other_prompts_are_not_taken_up(builder, tmp_path: Path):
    """Batches that were saved under other prompts, as a clock or an environment may change them, are left alone."""
    first, others, again = Counting(), Counting(), Counting()
    changed = [replace(request, ids=[*request.ids[:-1], 5]) for request in REQUESTS]
    one = answer(REQUESTS, first, None, builder, SETTINGS, tmp_path, "answers")
    two = answer(changed, others, None, builder, SETTINGS, tmp_path, "answers")
    assert others.calls == first.calls > 0 and set(one["prompt_digest"]).isdisjoint(two["prompt_digest"])
    pd.testing.assert_frame_equal(answer(REQUESTS, again, None, builder, SETTINGS, tmp_path, "answers"), one)
    assert again.calls == 0
    by_index = {request.question_index: digest_of([request.ids]) for request in REQUESTS}
    assert dict(zip(one["question_index"], one["prompt_digest"], strict=True)) == by_index


def test_a_prompt_and_its_answer_fit_into_the_model_s_positions(builder, splits):
    asked = dict(enumerate(read_jsonl(splits[1])))
    longest = max(len(request.ids) for request in requests_for(asked, builder, None, 4096))
    limited = PromptBuilder(builder.tokenizer, {"enable_thinking": False}, limits=Limits(400, longest + 10))
    assert len(requests_for(asked, limited, None, 4096, new_tokens=10)) == len(asked)
    message = (
        rf"test example \d: the 0-shot prompt with an answer of evaluation.max_new_tokens 11 has {longest + 11} "
        rf"tokens, more than the {longest + 10} positions that the model has"
    )
    with pytest.raises(JobError, match=message):
        requests_for(asked, limited, None, 4096, new_tokens=11)


def test_an_adapter_of_another_model_is_refused_before_anything_is_loaded(
    model_folder: Path, checkpoints: Path, splits, tmp_path: Path, monkeypatch
):
    """By whatever would have generated with it."""
    other = fetched_model(make_model(tmp_path / "source", hidden_size=48), tmp_path / "other")
    monkeypatch.setattr(generation.backends, "create", lambda *_: pytest.fail("a backend was made"))
    with pytest.raises(JobError, match="the adapter belongs to a model of another size"):
        evaluate(other, checkpoints, splits[1], tmp_path)


def test_requests_are_zero_shot_without_demonstrations(builder, splits):
    train, test = map(read_jsonl, splits)
    asked = dict(enumerate(test))
    zero = requests_for(asked, builder, None, 4096)
    two = requests_for(asked, builder, Demonstrations(train, Teacher(shots=2)), 4096)
    assert [r.shots for r in zero] == [0] * 6 and [r.shots for r in two] == [2] * 6
    assert [r.ids for r in zero] == [builder.build(row["question"]).ids for row in test]
    message = r"test example 0: the 0-shot prompt has \d+ tokens, more than max_prompt_tokens 9"
    with pytest.raises(JobError, match=message):
        requests_for(asked, builder, None, 9)


def test_which_questions_are_asked(splits):
    test = read_jsonl(splits[1])
    assert list(questions_of(test, None)) == list(range(6)) and list(questions_of(test, 4)) == list(range(4))
    drawn = questions_of(test, Draw(count=3, seed=1))
    assert len(drawn) == 3 and all(test[i] == row for i, row in drawn.items()) and list(drawn) == sorted(drawn)


@pytest.mark.parametrize(("prompt", "shots"), [("zeroshot", 0), ("fewshot", 2)])
def test_base_model_with_and_without_demonstrations(
    model_folder: Path, splits, tmp_path: Path, prompt: str, shots: int
):
    output = tmp_path / "predictions.parquet"
    spec = study().baseline("tiny", prompt, "first4")
    generation.generate_base(spec, model_folder, *splits, tmp_path / "state", output)
    table = pd.read_parquet(output)
    assert list(zip(table["shots"], table["question_index"], strict=True)) == [(shots, n) for n in range(4)]
    assert (table["tokens"] <= 8).all() and set(table["finish_reason"]) <= {"stop", "length"}
    assert [len(ids) for ids in table["token_ids"]] == list(table["tokens"])


@pytest.mark.parametrize(
    ("split", "key", "where"),
    [("train", "question", "training example 11"), ("train", "answer", "training example 11"),
     ("test", "question", "test example 5")],
)  # fmt: skip
def test_every_row_is_checked_before_the_first_answer(
    model_folder: Path, splits, tmp_path: Path, monkeypatch, split: str, key: str, where: str
):
    """Also the rows that phase 0, which asks the first few questions, doesn't read."""
    rows = {name: read_jsonl(path) for name, path in zip(("train", "test"), splits, strict=True)}
    rows[split][-1][key] = "Is <|im_end|> a mark?\n#### 5"
    paths = [write_rows(tmp_path / f"{name}.jsonl", part) for name, part in rows.items()]
    monkeypatch.setattr(generation.backends, "create", lambda *_: pytest.fail("a backend was made"))
    spec = study().baseline("tiny", "zeroshot", "first4")
    with pytest.raises(JobError, match=rf"{where}: a text contains '<\|im_end\|>'"):
        generation.generate_base(spec, model_folder, *paths, tmp_path / "state", tmp_path / "predictions.parquet")


def test_another_engine_is_asked_for_no_adapter_of_the_head(model_folder: Path, splits, tmp_path: Path, monkeypatch):
    adapter = tmp_path / "checkpoint-3"
    add_lora(load_model(model_folder, "fp32"), Lora(target_modules=["lm_head"]), seed=0).save_pretrained(adapter)
    spec = study(evaluation__backend="server").eval_checkpoint("tiny", "sft", "0", "42", "short")
    monkeypatch.setattr(generation.backends, "create", lambda *_: pytest.fail("a backend was made"))
    message = "a part for lm_head, outside the layers; only evaluation.backend: transformers is known to apply"
    with pytest.raises(JobError, match=message):
        generation.evaluate_checkpoints(spec, model_folder, {3: adapter}, splits[1], tmp_path, tmp_path / "p.parquet")


def test_a_teacher_s_answers_are_what_its_prompt_is_continued_with(model_folder: Path, splits, tmp_path: Path, builder):
    """The tokens that a teacher wrote come back as the answers of training sequences, with an end if it ended them."""
    output, train = tmp_path / "predictions.parquet", read_jsonl(splits[0])
    spec = study().write_answers("tiny", "fewshot")
    generation.generate_base(spec, model_folder, splits[0], splits[0], tmp_path / "state", output)
    table = pd.read_parquet(output)
    written = answer_tokens("fewshot", train, builder, output)
    assert len(written) == len(table) == 12
    for ids, row in zip(written, table.itertuples(), strict=True):
        assert ids == [*row.token_ids, *([builder.end_of_turn] if row.finish_reason == "stop" else [])]
    with pytest.raises(JobError, match="answers questions other than the training split's"):
        answer_tokens("fewshot", train[1:], builder, output)


def evaluate(model_folder: Path, checkpoints: Path, test: Path, folder: Path) -> pd.DataFrame:
    spec = study().eval_checkpoint("tiny", "sft", "0", "42", "short")
    output = folder / "predictions.parquet"
    found = checkpoints_of(checkpoints / "manifest.json", spec.checkpoints)
    generation.evaluate_checkpoints(spec, model_folder, found, test, folder / "state", output)
    return pd.read_parquet(output)


def test_every_checkpoint_answers_every_question(model_folder: Path, checkpoints: Path, splits, tmp_path: Path):
    table = evaluate(model_folder, checkpoints, splits[1], tmp_path)
    assert list(zip(table["step"], table["question_index"], strict=True)) == [(s, n) for s in (3, 6) for n in range(6)]
    assert (table["shots"] == 0).all()
    assert list(table.loc[table["step"] == 3, "text"]) != list(table.loc[table["step"] == 6, "text"])


def test_an_adapter_that_training_did_not_write(model_folder: Path, checkpoints: Path, splits, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(checkpoints, copy)
    (copy / "checkpoint-6" / "adapter_model.safetensors").write_bytes(
        (copy / "checkpoint-3" / "adapter_model.safetensors").read_bytes()
    )
    with pytest.raises(JobError, match="adapter_model.safetensors is not the file that training wrote"):
        evaluate(model_folder, copy, splits[1], tmp_path)
    assert json.loads((copy / "manifest.json").read_text())["files"]
