"""Caching the teacher's hidden states against the straightforward way, with demonstrations per example and fixed.

python benchmarks/teacher.py [--size cpu|gpu|smoke] [--model FOLDER] [--rows FOLDER]

The straightforward way is the whole model with `output_hidden_states`, eight padded prompts at a time in the order of
the file. Both ways leave the same float16 values in the host's memory, which is checked.
"""

import measuring
import torch
from workload import Workload, arguments

from fewshot_distillation.config.targets import POSITIONS
from fewshot_distillation.data.demonstrations import Demonstrations
from fewshot_distillation.data.sequences import Sequence
from fewshot_distillation.estimate.work import Estimator
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.teacher.activations import SHARD_ROWS
from fewshot_distillation.teacher.reading import Reader

PEER_BATCH = 8


def prompts_of(load: Workload, policy: str, count: int) -> list[Sequence]:
    teacher, train, builder = load.study().config.teachers[policy], load.rows["train"], load.builder
    shown = Demonstrations(train, teacher)
    built = [builder.build(train[i]["question"], shown.draw("train", i, train[i]["question"])) for i in range(count)]
    return [Sequence(prompt, []) for prompt in built]


class Straightforward:
    """The whole model over padded prompts, and the wanted positions of all its hidden states."""

    def __init__(self, load: Workload) -> None:
        self.model, self.layers = load_model(load.model, "bf16"), load.shape.layers

    @torch.inference_mode()
    def __call__(self, sequences: list[Sequence]) -> torch.Tensor:
        found = []
        for start in range(0, len(sequences), PEER_BATCH):
            part = sequences[start : start + PEER_BATCH]
            width = max(len(s.ids) for s in part)
            ids = torch.tensor([s.ids + [0] * (width - len(s.ids)) for s in part], device=self.model.device)
            mask = torch.tensor([[1] * len(s.ids) + [0] * (width - len(s.ids)) for s in part], device=ids.device)
            output = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
            for row, s in enumerate(part):
                places = [s.prompt.question_end, s.prompt.prompt_end]
                # The last of them is behind the final norm, and none is before it.
                found.append(torch.stack([layer[row, places] for layer in output.hidden_states[1:-1]], 1))
        return torch.stack(found).half().cpu()


def agree(load: Workload, reader: Reader, plain: Straightforward, sequences: list[Sequence]) -> float:
    """Relative difference between what both find."""
    found = reader.read(list(range(len(sequences))))
    ours = torch.stack([found[name][:, :-1] for name in POSITIONS], 1).float().cpu()
    theirs = plain(sequences).float()
    return ((ours - theirs).norm() / theirs.norm()).item()


def compare(load: Workload, policy: str) -> tuple[dict[str, str], str]:
    sizes, fixed = load.sizes, policy == "fixed"
    sequences = prompts_of(load, policy, sizes.questions if fixed else sizes.prompts)
    few = sequences[: sizes.prompts]  # the straightforward way gains nothing from a shared beginning
    plain, model = Straightforward(load), load_model(load.model, "bf16")
    reader = Reader(model, sequences, POSITIONS)

    def ours() -> float:
        for start in range(0, len(sequences), SHARD_ROWS):
            for states in reader.read(list(range(start, min(start + SHARD_ROWS, len(sequences))))).values():
                states.half().cpu()
        return len(sequences)

    def theirs() -> float:
        plain(few)
        return len(few)

    known = len(reader.prefix.ids) if reader.prefix else 0
    estimator = Estimator(load.shape, None)
    flops = sum(estimator.forward(len(s.ids), known) for s in sequences) / len(sequences)
    mine, peer = measuring.Way("packed", measuring.timed(ours), flops), measuring.Way("whole", measuring.timed(theirs))
    difference = agree(load, reader, plain, few[: min(4, len(few))])
    measuring.in_turn([mine, peer], sizes.rounds, warm_up=1 if torch.cuda.is_available() else 0)
    tokens = sum(len(s.ids) for s in sequences) / len(sequences)
    note = (
        f"{policy}: {tokens:.0f} tokens a prompt, {known} of them read once for all; values differ by {difference:.1e}."
    )
    return measuring.compared(f"teacher, {policy}", "ms a prompt", mine, peer, load.peak), note


def run(load: Workload) -> None:
    rows, notes = zip(*(compare(load, policy) for policy in ("per_example", "fixed")), strict=True)
    measuring.report("teacher", list(rows), [load.note(), *notes], load.output)


if __name__ == "__main__":
    run(arguments(__doc__))
