"""TRL's SFTTrainer, which takes steps when it is told to: the peer of benchmarks/training.py, in its own environment.

One JSON argument with `model`, `rows`, `micro`, `batch`, `precision` and `scratch`. A line `n` on standard input makes
it take n steps; it answers each with a line of seconds and tokens (without padding), as JSON.
"""

import json
import os
import sys
import time

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever else is printed

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

ON_GPU = torch.cuda.is_available()


def clock() -> float:
    if ON_GPU:
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def say(**values: float) -> None:
    print(json.dumps(values), file=ANSWERS, flush=True)


class InTurn(TrainerCallback):
    """Waits before each step until one is asked for, and says what it took."""

    def __init__(self) -> None:
        self.asked, self.tokens, self.started = 0, 0, 0.0

    def on_step_begin(self, args, state, control, **_) -> None:
        if self.asked == 0:
            if ON_GPU:
                torch.cuda.empty_cache()  # the other trainer needs the room
            line = sys.stdin.readline()
            if not line.strip():
                os._exit(0)
            self.asked = int(line)
        self.tokens, self.started = 0, clock()

    def on_step_end(self, args, state, control, **_) -> None:
        self.asked -= 1
        say(seconds=clock() - self.started, tokens=self.tokens, peak=torch.cuda.max_memory_allocated() if ON_GPU else 0)


class Counting(SFTTrainer):
    def training_step(self, model, inputs, *arguments, **others):
        turn.tokens += int(inputs["attention_mask"].sum())
        return super().training_step(model, inputs, *arguments, **others)


turn = InTurn()


def main() -> None:
    given = json.loads(sys.argv[1])
    with open(given["rows"]) as file:
        rows = [json.loads(line) for line in file]
    data = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": row["question"]}],
                "completion": [{"role": "assistant", "content": row["answer"]}],
            }
            for row in rows
        ]
    )
    dtype = getattr(torch, given["precision"])
    settings = SFTConfig(
        output_dir=given["scratch"], max_steps=10_000, per_device_train_batch_size=given["micro"],
        gradient_accumulation_steps=given["batch"] // given["micro"], bf16=dtype == torch.bfloat16,
        learning_rate=2e-4, logging_steps=10_000, report_to=[], save_strategy="no", completion_only_loss=True,
        max_length=512, gradient_checkpointing=False, use_cpu=not ON_GPU, disable_tqdm=True,
    )  # fmt: skip
    lora = LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.05, task_type="CAUSAL_LM",
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    )  # fmt: skip
    trainer = Counting(
        model=AutoModelForCausalLM.from_pretrained(given["model"], dtype=dtype),
        args=settings,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(given["model"]),
        callbacks=[turn],
        peft_config=lora,
    )
    trainer.train()


if __name__ == "__main__":
    main()
