"""The teacher's caches: what is in them, how they are put together, and what stops a bad value."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers.utils import chat_template_utils

from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.errors import JobError
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.runtime.files import sha256
from fewshot_distillation.teacher import activations, logits
from fewshot_distillation.teacher import cache as cache_module
from fewshot_distillation.teacher.cache import TeacherCache, checked, concatenate, save_shard
from tiny import fetched_model, make_model, make_tokenizer, study


def precompute(folder: Path, model_folder: Path, train: Path, teacher: str = "fewshot", **changes) -> Path:
    """activations.safetensors and meta.json in a folder."""
    output = folder / "activations.safetensors"
    spec = study(**changes).precompute_activations("tiny", teacher, "question")
    (folder / "state").mkdir(parents=True, exist_ok=True)
    activations.precompute_activations(spec, model_folder, train, folder / "state", output, folder / "meta.json")
    return output


def precompute_logits(folder: Path, model_folder: Path, cache: Path, k: int = 16) -> Path:
    output = folder / "logits.safetensors"
    spec = study(conditions__logit_kl__top_k=k).precompute_logits("tiny", "fewshot", "question")
    (folder / "logits_state").mkdir(exist_ok=True)
    meta = cache.with_name("meta.json")
    logits.precompute_logits(spec, model_folder, cache, meta, folder / "logits_state", output, folder / "audit.json")
    return output


@pytest.fixture(scope="module")
def caches(tmp_path_factory, model_folder: Path, splits) -> tuple[Path, Path]:
    """Activations and logits of twelve training examples, in shards of five and seven rows."""
    folder = tmp_path_factory.mktemp("teacher")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activations, "SHARD_ROWS", 5)
        patch.setattr(logits, "SHARD_ROWS", 7)
        hidden = precompute(folder, model_folder, splits[0])
        return hidden, precompute_logits(folder, model_folder, hidden)


def prompts_of(splits, builder, teacher: str = "fewshot") -> list:
    spec = study().precompute_activations("tiny", teacher, "question")
    return activations.teacher_sequences(spec, builder, read_jsonl(splits[0]))


@pytest.mark.parametrize("teacher", ["fewshot", "fixed"])
@torch.inference_mode()
def test_activations_against_the_whole_model(tmp_path, model_folder, model, splits, builder, teacher: str):
    """Fixed demonstrations are read once for all prompts; that may not show."""
    cache = TeacherCache(precompute(tmp_path, model_folder, splits[0], teacher))
    for row, prompt in enumerate(prompts_of(splits, builder, teacher)):
        reference = model(torch.tensor([prompt.ids]), output_hidden_states=True).hidden_states
        for name in ("question_end", "prompt_end"):
            found = cache.get(name, [range(row, row + 1)])[0]
            (place,) = prompt.span(name)
            torch.testing.assert_close(found[0].float(), reference[1][0, place], rtol=2e-3, atol=2e-3)
            normed = model.model.norm(found[1].float())
            torch.testing.assert_close(normed, reference[2][0, place], rtol=1e-2, atol=1e-2)
            last = cache.get(f"{name}.last", [range(row, row + 1)])[0]
            torch.testing.assert_close(model.model.norm(last), reference[2][0, place], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_logits_against_the_whole_model(caches, model, splits, builder):
    """Likely tokens are exact; how far unlikely ones are below is rounded to float16."""
    cache = load_file(caches[1])
    for row, prompt in enumerate(prompts_of(splits, builder)):
        full = model(torch.tensor([prompt.ids])).logits[0]
        for name in ("question_end", "prompt_end"):
            (place,) = prompt.span(name)
            expected, below = full[place], cache[f"{name}.below"][row].float()
            assert below.shape == (16,) and below[0] == 0 and (below.diff() >= 0).all()
            indices = cache[f"{name}.indices"][row].long()
            torch.testing.assert_close(cache[f"{name}.max"][row] - below, expected[indices], rtol=1e-3, atol=1e-4)
            assert expected[indices].min() >= expected.topk(16).values.min() - 1e-4
            for n, t in enumerate((1.0, 2.0)):
                p = (expected / t).softmax(0)
                torch.testing.assert_close(cache[f"{name}.logsumexp"][row, n], (expected / t).logsumexp(0))
                rest = (1 - p.double()[indices].sum()).log()
                torch.testing.assert_close(cache[f"{name}.rest"][row, n].double(), rest, rtol=1e-3, atol=1e-3)


def test_descriptions_of_the_caches(caches, model_folder: Path, splits):
    hidden, _ = caches
    meta = json.loads(hidden.with_name("meta.json").read_text())
    assert meta["examples"] == 12 and meta["truncated"] == 0
    assert meta["cache"] == sha256(hidden) and meta["dataset"] == sha256(splits[0])
    tokens = {name: entry["token"] for name, entry in meta["positions"].items()}
    assert tokens["question_end"] == "\n" and set(tokens) == {"question_end", "prompt_end"}
    audit = json.loads(hidden.with_name("audit.json").read_text())
    assert audit["temperatures"] == [1.0, 2.0] and audit["top_k"] == 16
    assert audit["examples"] == 12 and audit["cache"] == sha256(hidden.with_name("logits.safetensors"))


def test_only_missing_shards_are_computed_again(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    monkeypatch.setattr(activations, "SHARD_ROWS", 5)
    output = precompute(tmp_path, model_folder, splits[0])
    before, shards = output.read_bytes(), sorted((tmp_path / "state").rglob("shard-*"))
    assert len(shards) == 3
    shards[1].unlink()
    computed, one = [], activations.Reader.read
    monkeypatch.setattr(activations.Reader, "read", lambda self, rows: computed.append(rows) or one(self, rows))
    assert precompute(tmp_path, model_folder, splits[0]).read_bytes() == before
    assert computed == [[5, 6, 7, 8, 9]]


@pytest.fixture(scope="module")
def dated(tmp_path_factory) -> Path:
    """The tiny model with a template that tells it the date."""
    folder = tmp_path_factory.mktemp("dated")
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{{- 'Today Date: ' + strftime_now('%d %b %Y') + '\n' }}\n" + tokenizer.chat_template
    return fetched_model(make_model(folder / "source", tokenizer=tokenizer), folder / "model")


def test_a_teacher_that_is_interrupted_before_midnight(dated: Path, tmp_path: Path, splits, monkeypatch):
    """What is computed on the next day belongs to the same prompts; a study's own date gives others."""
    monkeypatch.setattr(activations, "SHARD_ROWS", 5)
    computed, one = [], activations.Reader.read
    monkeypatch.setattr(activations.Reader, "read", lambda self, rows: computed.append(rows) or one(self, rows))

    def on_day(day: int, **changes) -> tuple[bytes, str]:
        class Clock(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls(2040, 5, day)

        monkeypatch.setattr(chat_template_utils, "datetime", Clock)
        computed.clear()
        cache = precompute(tmp_path, dated, splits[0], **changes)
        return cache.read_bytes(), json.loads((tmp_path / "meta.json").read_text())["prompts"]

    before = on_day(1)
    assert len(computed) == 3
    sorted((tmp_path / "state").rglob("shard-*"))[1].unlink()
    assert on_day(2) == before and computed == [[5, 6, 7, 8, 9]]
    after = on_day(2, prompt={"template_date": "2025-01-31"})
    assert len(computed) == 3 and after[0] != before[0] and after[1] != before[1], "no shard of the other prompts"
    assert on_day(3) == before and not computed, "theirs are still there"


def test_logits_of_other_prompts_are_not_taken_up(dated: Path, tmp_path: Path, splits, monkeypatch):
    """Shards that an interrupted job left count for the prompts that the hidden states were computed from."""
    monkeypatch.setattr(logits, "SHARD_ROWS", 5)
    computed, one = [], logits._shard
    monkeypatch.setattr(logits, "_shard", lambda *a: computed.append(a[2]) or one(*a))

    def on(date: str) -> tuple[bytes, str]:
        computed.clear()
        cache = precompute_logits(
            tmp_path, dated, precompute(tmp_path, dated, splits[0], prompt={"template_date": date})
        )
        return cache.read_bytes(), json.loads((tmp_path / "audit.json").read_text())["prompts"]

    before = on("2024-05-01")
    assert len(computed) == 3
    sorted((tmp_path / "logits_state").rglob("shard-*"))[1].unlink()
    assert on("2024-05-01") == before and computed == [[5, 6, 7, 8, 9]]
    after = on("2025-01-31")
    assert len(computed) == 3 and after[0] != before[0] and after[1] != before[1]


def test_shards_of_another_size_give_the_same_values(caches, tmp_path: Path, model_folder: Path, splits):
    """Up to rounding: which prompts share a pass depends on the shards."""
    other = load_file(precompute(tmp_path, model_folder, splits[0]))
    for name, values in load_file(caches[0]).items():
        torch.testing.assert_close(other[name], values, rtol=2e-3, atol=2e-3)


def test_a_prompt_that_is_too_long_is_an_error(builder, splits):
    spec = study(max_prompt_tokens=64).precompute_activations("tiny", "fewshot", "question")
    message = r"training example 0: the 2-shot prompt has \d+ tokens, more than max_prompt_tokens 64"
    with pytest.raises(JobError, match=message):
        activations.teacher_sequences(spec, builder, read_jsonl(splits[0]))


def test_a_model_that_computes_nan(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    def broken(*arguments):
        model = load_model(*arguments)
        model.model.layers[0].mlp.down_proj.weight.fill_(float("nan"))
        return model

    monkeypatch.setattr(activations, "load_model", broken)
    with pytest.raises(JobError, match="training example 0, question_end: the teacher's values are not finite"):
        precompute(tmp_path, model_folder, splits[0])
    assert not (tmp_path / "activations.safetensors").exists()


BAD = {"nan": float("nan"), "inf": float("inf"), "too large": 65505.0, "too small": -70000.0}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_bad_values_name_the_example(value: float):
    values = torch.tensor([[1.0, 2.0], [1.0, value]])
    with pytest.raises(JobError, match=r"^training example 3, answer: .*(not finite|does not fit float16)"):
        checked(values, [1, 3], "answer", torch.float16)


def test_the_largest_float16_fits():
    assert checked(torch.tensor([[65504.0, -65504.0]]), [0], "x", torch.float16).tolist() == [[65504.0, -65504.0]]


def test_top_k_and_log_sum_exp_against_the_full_softmax():
    torch.manual_seed(0)
    full, temperatures = 3 * torch.randn(4, 50), [1.0, 2.0]
    found = logits.top_k(full, 7, temperatures)
    for row in range(4):
        order = full[row].argsort(descending=True)[:7]
        assert found["indices"][row].tolist() == order.tolist() and found["indices"].dtype == torch.int32
        values = found["max"][row] - found["below"][row].float()
        torch.testing.assert_close(values, full[row][order], rtol=1e-3, atol=1e-3)
        for n, t in enumerate(temperatures):
            expected = (full[row] / t).softmax(0)[order]
            kept = (values / t - found["logsumexp"][row, n]).exp()
            torch.testing.assert_close(kept, expected, rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(found["rest"][row, n].exp(), 1 - expected.sum(), rtol=1e-4, atol=1e-6)


def test_top_k_beyond_the_vocabulary():
    assert logits.top_k(torch.randn(2, 5), 9, [1.0])["below"].shape == (2, 5)


def test_concatenate_against_torch(tmp_path: Path):
    """Any mixture of types and shapes, and shards of different lengths."""
    parts = [
        {
            "b.half": torch.randn(rows, 3, 5).half(),
            "a.int": torch.randint(-9, 9, (rows, 2), dtype=torch.int32),
            "c": torch.randn(rows, 1).bfloat16(),
            "ragged": torch.randn(2 * rows - 1, 2),
        }
        for rows in (4, 4, 1)
    ]
    shards = [tmp_path / f"shard-{n}.safetensors" for n in range(3)]
    for path, part in zip(shards, parts, strict=True):
        save_shard(path, part)
    concatenate(shards, tmp_path / "all.safetensors", {"lengths": torch.arange(3, dtype=torch.int32)})
    whole = load_file(tmp_path / "all.safetensors")
    assert torch.equal(whole.pop("lengths"), torch.arange(3, dtype=torch.int32))
    assert set(whole) == {"b.half", "a.int", "c", "ragged"}
    for name, tensor in whole.items():
        assert torch.equal(tensor, torch.cat([part[name] for part in parts])), name
    cache = TeacherCache(tmp_path / "all.safetensors")
    assert (
        cache.rows == 9
        and cache.examples == 9
        and torch.equal(cache.get("c", [range(8, 9), range(0, 2)]), whole["c"][[8, 0, 1]])
    )


# Memory of its own (RssAnon) and of mapped files (RssFile), in KiB, before and after all rows were read.
READ_ALL = """
import re, sys
from pathlib import Path
from fewshot_distillation.teacher.cache import TeacherCache

def memory():
    status = Path("/proc/self/status").read_text()
    return [int(re.search(rf"{name}:\\s+(\\d+) kB", status).group(1)) for name in ("RssAnon", "RssFile")]

TeacherCache(Path(sys.argv[2])).get("p", [range(1)])
before = memory()
cache = TeacherCache(Path(sys.argv[1]))
total = sum(cache.get("p", [range(row, row + 1)]).abs().sum(dtype=float).item() for row in range(cache.rows))
print(total, *(after - first for first, after in zip(before, memory())))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux counts it")
def test_rows_are_read_from_a_map(tmp_path: Path):
    """Processes that share a machine share one copy of the cache: the system's, which none of them owns."""
    values = torch.arange(200, dtype=torch.float16)[:, None, None].expand(200, 32, 16384)
    save_shard(tmp_path / "large.safetensors", {"p": values})
    save_shard(tmp_path / "small.safetensors", {"p": values[:1]})
    command = [sys.executable, "-c", READ_ALL, tmp_path / "large.safetensors", tmp_path / "small.safetensors"]
    environment = os.environ | {"PYTHONPATH": str(Path(cache_module.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    total, own, mapped = map(float, done.stdout.split())
    assert total == values[:, 0, 0].double().sum().item() * 32 * 16384
    assert own < 20 * 1024, f"{own:.0f} KiB of the process's own for a file of 200 MiB"
    assert mapped > 100 * 1024, "the file's pages are counted as those of a file"
