"""A language model, a dataset and a study so small that every test can compute with them.

The model is random, but everything about it is real: the Qwen3 architecture, a tokenizer, and a chat template that
knows `enable_thinking` as Qwen3's does.
"""

import copy
import functools
import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from fewshot_distillation.config.load import load
from fewshot_distillation.config.sources import FilesModel, GeneratedDataset
from fewshot_distillation.config.specs import DatasetSpec, ModelSpec, TrainSpec
from fewshot_distillation.config.study import Study
from fewshot_distillation.data.datasets import fetch_dataset
from fewshot_distillation.data.models import fetch_model
from fewshot_distillation.data.word_problems import word_problems

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""


@functools.cache
def _trained_tokenizer() -> str:
    rows = word_problems(200, 1, seed=7)["train"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator((row["question"] + "\n" + row["answer"] for row in rows), trainer)
    return tokenizer.to_str()


def make_tokenizer(chat: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 400 tokens that was trained on word problems."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained_tokenizer()),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE if chat else None
    return fast


def make_model(folder: Path, seed: int = 0, chat: bool = True, tokenizer: Any = None, **sizes: int) -> Path:
    """A random Qwen3 model of two layers as a folder in the Hugging Face layout.

    Its weights are larger than usual ones, so that what it generates depends on the whole prompt.
    """
    tokenizer = tokenizer or make_tokenizer(chat)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        **sizes,
    }
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        initializer_range=0.3,
        **sizes,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def fetched_model(source: Path, folder: Path, thinking: bool | None = False) -> Path:
    """A model folder as `fetch_model` leaves it, with its manifest."""
    arguments = {} if thinking is None else {"enable_thinking": thinking}
    spec = ModelSpec(name="tiny", source=FilesModel(files=str(source)), chat_template=arguments)
    fetch_model(spec, folder, folder.with_name("state"), [])
    return folder


def write_dataset(folder: Path, train: int = 12, test: int = 6, seed: int = 0) -> tuple[Path, Path]:
    """Word problems as `fetch_dataset` writes them; the paths of both splits."""
    source = GeneratedDataset(generator="word_problems", train=train, test=test, seed=seed)
    spec = DatasetSpec(
        name="problems", source=source, limit_train=None, limit_test=None, calculation_annotations="keep"
    )
    paths = folder / "train.jsonl", folder / "test.jsonl"
    fetch_dataset(spec, *paths, folder / "meta.json")
    return paths


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


CONFIG = {
    "dataset": "problems",
    "precision": "fp32",
    "seeds": [42],
    "datasets": {"problems": {"source": {"generator": "word_problems", "train": 12, "test": 6, "seed": 0}}},
    "models": {"tiny": {"source": {"files": "tiny"}, "chat_template": {"enable_thinking": False}}},
    "teachers": {"fewshot": {"shots": 2, "seed": 3}, "fixed": {"shots": 3, "demonstrations": "fixed"}},
    "conditions": {
        "sft": {"label": "B"},
        "layerwise": {"label": "C", "target": "hidden_states", "teacher": "fewshot", "lambda": 0.5},
        "logit_kl": {"label": "D", "target": "logits", "teacher": "fewshot", "top_k": 16, "span": "prompt_end"},
    },
    "schedules": {"short": {"max_steps": 6, "checkpoints": [3, 6]}, "long": {"max_steps": 9, "checkpoints": [9]}},
    "training": {
        "default": {
            "learning_rate": 0.01,
            "warmup_steps": 2,
            "effective_batch_size": 4,
            "micro_batch_tokens": 256,
            "max_tokens": 256,
            "lora": {"r": 4, "alpha": 8, "dropout": 0.05},
        }
    },
    "baselines": ["zeroshot", "fewshot"],
    "evaluation": {"max_new_tokens": 8, "batch_tokens": 1024},
    "icl_gap": {"phase0": {"models": ["tiny"], "shots": [0, 2], "questions": 4}},
    "studies": {
        "main": {"models": ["tiny"], "conditions": ["sft", "layerwise", "logit_kl"], "schedules": ["short"]},
        "sweep": {"models": ["tiny"], "conditions": ["layerwise"], "lambdas": [0.1, 0.5, 2], "schedules": ["short"]},
    },
}


def edited(config: dict = CONFIG, **changes: Any) -> dict:
    """A copy of a configuration with some entries set; `evaluation__questions=1` sets `evaluation.questions`."""
    config = copy.deepcopy(config)
    for where, value in changes.items():
        *above, last = where.split("__")
        place = config
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return config


def study(**changes: Any) -> Study:
    return Study(load(edited(**changes)))


def train_spec(condition: str = "sft", lam: str = "0", **changes: Any) -> TrainSpec:
    return study(**changes).train("tiny", condition, lam, "42", "short")


def random_prompts(count: int, vocabulary: int, shortest: int, longest: int, seed: int = 0) -> list[list[int]]:
    """Token ids without special tokens, of different lengths."""
    draw = random.Random(seed)
    return [[draw.randrange(3, vocabulary) for _ in range(draw.randint(shortest, longest))] for _ in range(count)]
