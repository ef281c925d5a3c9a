"""Greedy generation against transformers' own, and answers that survive an interruption."""

import contextlib
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from peft import PeftModel

from fewshot_distillation.config.catalogue import Draw, Evaluation
from fewshot_distillation.config.conditions import Teacher
from fewshot_distillation.data.checkpoints import checkpoints_of
from fewshot_distillation.data.demonstrations import Demonstrations
from fewshot_distillation.data.limits import Limits
from fewshot_distillation.data.prompts import PromptBuilder, digest_of
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.data.sequences import answer_tokens
from fewshot_distillation.evaluation import generation
from fewshot_distillation.evaluation.backends.base import Generation
from fewshot_distillation.evaluation.backends.transformers_backend import TransformersBackend
from fewshot_distillation.evaluation.generation import Request, answer, batches, questions_of, requests_for
from fewshot_distillation.modeling.attention import use_grouped_decoding
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.runtime.errors import JobError
from tiny import fetched_model, make_model, random_prompts, study
from training import strange_adapters

NEW = 12
DIFFERENT = random_prompts(8, 400, 3, 25)
BEGINNING = random_prompts(1, 400, 30, 30, seed=1)[0]
SHARED = [BEGINNING + ids for ids in random_prompts(6, 400, 2, 9, seed=2)] + random_prompts(2, 400, 40, 50, seed=3)


@torch.inference_mode()
def one_at_a_time(model, prompts: list[list[int]], stop: list[int], longest: int = NEW) -> list[Generation]:
    """What `generate` of transformers says about each prompt alone."""
    found = []
    for ids in prompts:
        given = torch.tensor([ids])
        output = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=longest,
            do_sample=False,
            eos_token_id=stop or None,
            pad_token_id=0,
        )[0, len(ids) :].tolist()
        ended = output[-1] in stop
        found.append(Generation(output[:-1] if ended else output, "stop" if ended else "length"))
    return found


def stops_of(model, prompts: list[list[int]]) -> list[int]:
    """Two tokens at which some of the prompts end early, at different times, and others don't."""
    model.generation_config.eos_token_id = None
    free = [g.ids for g in one_at_a_time(model, prompts, [])]
    return sorted({free[0][4], free[1][7]})


@pytest.fixture(scope="module", params=[False, True], ids=["loop", "padded"])
def backend(request, model_folder: Path) -> TransformersBackend:
    """Both ways of generating: the loop for CPUs and `generate` over padded batches for GPUs."""
    found = TransformersBackend(model_folder, "fp32", padded=request.param)
    found.use(None)
    return found


@pytest.mark.parametrize("prompts", [DIFFERENT, SHARED, DIFFERENT[:1]], ids=["different", "shared beginning", "one"])
def test_against_transformers(backend, model, prompts: list[list[int]]):
    stop = stops_of(model, DIFFERENT)
    expected = one_at_a_time(model, prompts, stop)
    assert backend.generate(prompts, NEW, stop) == expected


def test_prompts_of_the_test_above_end_at_different_times(model):
    expected = one_at_a_time(model, DIFFERENT, stops_of(model, DIFFERENT))
    assert len({len(g.ids) for g in expected}) >= 3 and {g.finish_reason for g in expected} == {"stop", "length"}


def test_limits_of_length(backend, model):
    stops_of(model, DIFFERENT)
    for longest in (1, 2, 5):
        found = backend.generate(DIFFERENT, longest, [399])
        assert found == one_at_a_time(model, DIFFERENT, [399], longest)
        assert all(len(g.ids) <= longest for g in found)


def test_a_stop_token_in_the_last_place_is_a_stop(backend, model):
    """An answer of just the permitted length isn't truncated."""
    free = backend.generate(DIFFERENT[:1], NEW, [399])[0].ids
    first = next(n for n in range(1, NEW) if free[n] not in free[:n])
    assert backend.generate(DIFFERENT[:1], first + 1, [free[first]]) == [Generation(free[:first], "stop")]
    assert backend.generate(DIFFERENT[:1], first, [free[first]]) == [Generation(free[:first], "length")]


def test_order_and_company_do_not_matter(backend, model):
    stop = stops_of(model, DIFFERENT)
    together = backend.generate(DIFFERENT, NEW, stop)
    assert backend.generate(DIFFERENT[::-1], NEW, stop) == together[::-1]
    assert [backend.generate([ids], NEW, stop)[0] for ids in DIFFERENT] == together


def test_the_way_is_that_of_the_device(model_folder: Path, monkeypatch):
    where = "fewshot_distillation.evaluation.backends.transformers_backend.device"
    for kind, padded in (("cpu", False), ("cuda", True)):
        monkeypatch.setattr(where, lambda kind=kind: torch.device(kind))
        assert TransformersBackend(model_folder, "fp32").padded is padded


@pytest.mark.parametrize("padded", [False, True])
def test_settings_of_the_model_s_authors_do_not_count(
    model_folder: Path, tmp_path: Path, backend, padded: bool, recwarn
):
    """Sampling, penalties, limits and ends in generation_config.json change no answer and cause no warning."""
    folder = shutil.copytree(model_folder, tmp_path / "model")
    settings = {"do_sample": True, "temperature": 0.6, "top_p": 0.5, "repetition_penalty": 3.0, "max_length": 30}
    settings |= {"no_repeat_ngram_size": 1, "min_new_tokens": 9, "eos_token_id": [399], "num_beams": 2}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"].pop("generation_config.json", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    other = TransformersBackend(folder, "fp32", backend.padded)
    other.use(None)
    recwarn.clear()
    with _logged_by_transformers() as said:
        found = other.generate(DIFFERENT, NEW, [5])
    assert found == backend.generate(DIFFERENT, NEW, [5])
    assert not said.records and not [w for w in recwarn if "sampl" in str(w.message)]


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def _logged_by_transformers():
    """Warnings of transformers, which doesn't hand them on to pytest."""
    handler, logger = _Kept(), logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


@torch.inference_mode()
def test_grouped_attention(model_folder: Path):
    """Decoding of one token against a padded cache, the only place where it differs from PyTorch's."""
    plain, grouped = (load_model(model_folder, "fp32") for _ in range(2))
    use_grouped_decoding(grouped)
    assert grouped.config._attn_implementation != plain.config._attn_implementation
    ids, mask = torch.tensor(random_prompts(3, 400, 9, 9)), torch.ones(3, 10, dtype=torch.long)
    mask[1, :4] = 0
    outputs = []
    for model in (plain, grouped):
        cache = model(ids, attention_mask=mask[:, :9], use_cache=True).past_key_values
        outputs.append(model(ids[:, :1], attention_mask=mask, past_key_values=cache).logits)
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, model_folder: Path) -> Path:
    """Two checkpoints with adapters that change what is generated, and their manifest."""
    return strange_adapters(tmp_path_factory.mktemp("checkpoints"), model_folder, (3, 6), std=0.3)


def test_merged_adapter_against_the_unmerged_one(model_folder: Path, checkpoints: Path, backend, model):
    stop = stops_of(model, DIFFERENT)
    unmerged = PeftModel.from_pretrained(model, str(checkpoints / "checkpoint-3")).eval()
    unmerged.generation_config.eos_token_id = None
    expected = one_at_a_time(unmerged, DIFFERENT, stop)
    adapted = TransformersBackend(model_folder, "fp32")
    adapted.use(checkpoints / "checkpoint-3")
    assert adapted.generate(DIFFERENT, NEW, stop) == expected
    assert expected != backend.generate(DIFFERENT, NEW, stop)
    adapted.use(None)
    assert adapted.generate(DIFFERENT, NEW, stop) == backend.generate(DIFFERENT, NEW, stop)


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
    longest = max(len(request.ids) for request in requests_for(asked, builder, None, 0, 4096))
    limited = PromptBuilder(builder.tokenizer, {"enable_thinking": False}, limits=Limits(400, longest + 10))
    assert len(requests_for(asked, limited, None, 0, 4096, new_tokens=10)) == len(asked)
    message = (
        rf"test example \d: the 0-shot prompt with an answer of evaluation.max_new_tokens 11 has {longest + 11} "
        rf"tokens, more than the {longest + 10} positions that the model knows"
    )
    with pytest.raises(JobError, match=message):
        requests_for(asked, limited, None, 0, 4096, new_tokens=11)


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
    zero = requests_for(asked, builder, None, 3, 4096)
    two = requests_for(asked, builder, Demonstrations(train, Teacher(shots=2)), 0, 4096)
    assert [r.shots for r in zero] == [0] * 6 and [r.shots for r in two] == [2] * 6
    assert [r.ids for r in zero] == [builder.build(row["question"]).ids for row in test]
    message = r"test example 0: the 0-shot prompt has \d+ tokens, more than max_prompt_tokens 9"
    with pytest.raises(JobError, match=message):
        requests_for(asked, builder, None, 0, 9)


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
    with pytest.raises(JobError, match="answers other questions than the training split's"):
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
