"""A span of tokens that nobody has cached for: it is read out of the answer's rows."""

from pathlib import Path

import torch

from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.data.sequences import Sequence
from fewshot_distillation.student.targets import TargetCache
from training import Setup

LOGITS = {"label": "x", "target": "logits", "teacher": "fewshot", "span": "answer", "top_k": 16, "lambda": 0.5}


def test_a_part_of_the_answer_is_a_span(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    """The recipe of docs/extending.md changes the names of spans and `Sequence.span`, and no cache."""
    changes = {"conditions__mine": LOGITS, "studies__main__conditions": ["mine"]}
    setup = Setup(tmp_path, model_folder, splits[0], **changes)
    trainer = setup.trainer("mine")
    sequences = {example.index: example.sequence for example in trainer.streams.all}
    numbers = sorted(sequences)[:3]
    whole = trainer.caches[0].of(numbers, [sequences[n] for n in numbers])["values"]
    plain = Sequence.span

    def span(sequence: Sequence, name: str) -> range:
        return plain(sequence, "answer")[1:3] if name == "second_and_third" else plain(sequence, name)

    monkeypatch.setattr(Sequence, "span", span)
    target = trainer.caches[0].target.model_copy(update={"span": "second_and_third"})
    files, count = setup.inputs("mine").caches[0], len(read_jsonl(splits[0]))
    found = TargetCache(target, *files, count).of(numbers, [sequences[n] for n in numbers])["values"]
    lengths = [len(plain(sequences[n], "answer")) for n in numbers]
    starts = [sum(lengths[:n]) for n in range(3)]
    torch.testing.assert_close(found, torch.cat([whole[start + 1 : start + 3] for start in starts]), rtol=0, atol=0)
