"""What the teacher's jobs hold: a few shards of a cache, and no logits that they don't need."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.teacher import activations
from tiny import study

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
# One thread and one arena: each has memory of its own that it keeps. Tensors go back to the system when they are freed,
# or the allocator's habits, and not what is held, would decide the peak.
ENVIRONMENT = {
    "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536",
}  # fmt: skip

# A cache of GSM8K's training split and 28 layers; narrow, so that the test is quick. Peaks are those of the kernel,
# which counts mapped files too; reset after a first round, so that imports and thread pools are not in them.
CACHING = """
import json, re, sys
from pathlib import Path
import torch
from fewshot_distillation.teacher.cache import TeacherCache, concatenate, save_shard

ROWS, LAYERS, HIDDEN, SIZE = 7473, 28, 512, 64
folder = Path(sys.argv[1])

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def shard(start):
    rows = min(SIZE, ROWS - start)
    path = folder / f"shard-{start:08d}.safetensors"
    values = torch.arange(start, start + rows).view(-1, 1, 1).expand(rows, LAYERS, HIDDEN).half()
    save_shard(path, {"question_end": values, "prompt_end": -values})
    return path

concatenate([shard(0)], folder / "first.safetensors")
TeacherCache(folder / "first.safetensors").get("prompt_end", [range(1)])
Path("/proc/self/clear_refs").write_text("5")
before = peak()
shards = [shard(start) for start in range(0, ROWS, SIZE)]
written = peak()
concatenate(shards, folder / "all.safetensors")
joined = peak()
cache = TeacherCache(folder / "all.safetensors")
ends = [cache.get("prompt_end", [range(row, row + 1)])[0, -1, -1].item() for row in (0, 2047, ROWS - 1)]
print(json.dumps({
    "one": shards[0].stat().st_size, "all": (folder / "all.safetensors").stat().st_size, "ends": ends,
    "writing": written - before, "joining": joined - before, "rows": cache.rows,
}))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system doesn't tell peaks of memory")
def test_a_cache_needs_no_more_memory_than_a_few_shards(tmp_path: Path):
    command = [sys.executable, "-c", CACHING, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == 7473 and found["ends"] == [0.0, -2047.0, -7472.0]
    assert found["all"] > 100 * found["one"] and found["one"] > 3_000_000
    assert found["writing"] < 4 * found["one"], found
    assert found["joining"] < 4 * found["one"], found


def test_reading_prompts_makes_no_logits(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    """Loading tries the head on four tokens; after that it isn't called."""

    def without_head(*arguments):
        model = load_model(*arguments)
        model.get_output_embeddings().register_forward_pre_hook(lambda *_: pytest.fail("logits were computed"))
        with pytest.raises(pytest.fail.Exception):
            model(model.dummy_inputs["input_ids"])
        return model

    monkeypatch.setattr(activations, "load_model", without_head)
    output = tmp_path / "activations.safetensors"
    spec = study().precompute_activations("tiny", "fewshot", "question")
    activations.precompute_activations(spec, model_folder, splits[0], tmp_path, output, tmp_path / "meta.json")
    assert output.exists()
