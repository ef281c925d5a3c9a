"""Answers by the backend `transformers` against `model.generate` over batches sorted by length.

python benchmarks/evaluation.py [--size cpu|gpu|smoke] [--model FOLDER] [--rows FOLDER]

Zero-shot prompts and prompts with eight demonstrations, greedy, with the model's own end of an answer. On a GPU the
backend is `generate` itself over larger batches, so there the ratio says what those are worth.
"""

import measuring
import torch
from transformers import GenerationConfig
from workload import Workload, arguments

from fewshot_distillation.data.demonstrations import Demonstrations
from fewshot_distillation.estimate.work import Estimator
from fewshot_distillation.evaluation.backends.transformers_backend import TransformersBackend
from fewshot_distillation.modeling.load import load_model

PEER_BATCH = 16


def prompts_of(load: Workload, policy: str, count: int) -> list[list[int]]:
    teacher, test, builder = load.study().config.teachers[policy], load.rows["test"], load.builder
    shown = Demonstrations(load.rows["train"], teacher) if teacher.shots else None
    rows = enumerate(test[:count])
    built = [builder.build(r["question"], shown.draw("test", i, r["question"]) if shown else []).ids for i, r in rows]
    return sorted(built, key=len, reverse=True)


class Plain:
    """`generate` as most people call it."""

    def __init__(self, load: Workload, stop_ids: list[int]) -> None:
        self.model = load_model(load.model, "bf16")
        self.settings = GenerationConfig(
            do_sample=False, max_new_tokens=load.sizes.new, eos_token_id=stop_ids, pad_token_id=stop_ids[0]
        )
        self.model.generation_config = GenerationConfig()

    @torch.inference_mode()
    def __call__(self, prompts: list[list[int]]) -> float:
        for start in range(0, len(prompts), PEER_BATCH):
            part = prompts[start : start + PEER_BATCH]
            width = max(map(len, part))
            ids = torch.tensor([[0] * (width - len(p)) + p for p in part], device=self.model.device)
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in part], device=self.model.device)
            self.model.generate(ids, attention_mask=mask, generation_config=self.settings)
        return len(prompts)


def compare(load: Workload, policy: str, count: int) -> tuple[dict[str, str], str]:
    prompts, stop_ids = prompts_of(load, policy, count), load.builder.stop_ids
    backend, plain, written = TransformersBackend(load.model, "bf16"), Plain(load, stop_ids), []
    backend.use(None)

    def ours() -> float:
        written[:] = [len(g.ids) for g in backend.generate(prompts, load.sizes.new, stop_ids)]
        return len(prompts)

    mine = measuring.Way("backend", measuring.timed(ours))
    peer = measuring.Way("generate", measuring.timed(lambda: plain(prompts)))
    measuring.in_turn([mine, peer], load.sizes.rounds, warm_up=1 if torch.cuda.is_available() else 0)
    estimator = Estimator(load.shape, None)
    work = [estimator.generation(len(p), 0.0, 1, new) for p, new in zip(prompts, written, strict=True)]
    mine.flops = sum(part.forward + part.decoding for part in work) / len(prompts)
    asked, mean = sum(map(len, prompts)) / len(prompts), sum(written) / len(written)
    note = f"{policy}: {len(prompts)} prompts of {asked:.0f} tokens, answers of {mean:.0f}."
    return measuring.compared(f"answers, {policy}", "ms an answer", mine, peer, load.peak), note


def run(load: Workload) -> None:
    plans = (("zeroshot", load.sizes.answers), ("per_example", load.sizes.few_shot))
    rows, notes = zip(*(compare(load, policy, count) for policy, count in plans), strict=True)
    measuring.report("evaluation", list(rows), [load.note(), *notes], load.output)


if __name__ == "__main__":
    run(arguments(__doc__))
