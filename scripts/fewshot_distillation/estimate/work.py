"""What each job computes and keeps, from sizes of the model, lengths of the prompts, and the job's spec.

FLOPs are two a parameter and token in a forward pass, and what attention adds, 4 · layers · width · tokens² / 2 a
sequence (Kaplan et al. 2020, arXiv:2001.08361, table 1). A backward pass through frozen weights costs as much as the
forward pass, through trained ones twice that.
"""

from dataclasses import dataclass

from ..config.conditions import QUESTION, Teacher
from ..config.specs import ActivationsSpec, EvaluateSpec, GenerationSpec, LogitsSpec, SignalSpec, TrainSpec
from ..config.targets import POSITIONS
from .lengths import ASKING, Lengths
from .shapes import Shape

# Answers of a model without demonstrations or training are longer than those of the dataset.
RAMBLING = 2.0
PREDICTION_BYTES = 1.5  # of an answer's text in a compressed table, a token
FLOAT32, BFLOAT16, FLOAT16, INT32 = 4, 2, 2, 4


@dataclass(frozen=True)
class Work:
    """FLOPs by the way in which they are computed, and bytes kept, by what they are."""

    forward: float = 0.0
    training: float = 0.0
    decoding: float = 0.0
    kept: int = 0
    what: str = ""

    @property
    def flops(self) -> float:
        return self.forward + self.training + self.decoding


@dataclass(frozen=True)
class Estimator:
    """The work of one model's jobs."""

    shape: Shape
    lengths: Lengths

    def forward(self, tokens: float, before: float = 0.0) -> float:
        """Return FLOPs of the layers for a sequence, the first `before` tokens of which have been read already."""
        new = tokens - before
        return 2 * self.shape.body * new + self.attention(tokens) - self.attention(before)

    def attention(self, tokens: float) -> float:
        """Return FLOPs that attention adds to the matrices, of causal attention over a sequence."""
        return 2 * self.shape.layers * self.shape.attention_width * tokens**2

    def trained(self, tokens: float, answer: float, lora: float, full: bool = False) -> float:
        """Return FLOPs of both passes for one example.

        The backward pass costs as much as the forward pass in frozen weights, and twice as much in trained ones and in
        attention, which has none.

        Args:
            lora: parameters of the adapter.
            full: whether the model's own weights are trained.
        """
        frozen = self.forward(tokens) - self.attention(tokens) + 2 * self.shape.head * answer
        return (3 if full else 2) * frozen + 3 * self.attention(tokens) + 6 * lora * tokens

    def reading(self, teacher: Teacher, answer: float) -> float:
        """Return FLOPs of a teacher that reads one example; fixed demonstrations are read once for all."""
        tokens = self.lengths.prompt(teacher.shots) + answer
        shared = self.lengths.demonstrations(teacher.shots) if teacher.demonstrations == "fixed" else 0.0
        return self.forward(tokens, shared)

    def _answer(self, text: str) -> float:
        return 0.0 if text == QUESTION else self.lengths.answer

    def _rows(self, spec: ActivationsSpec) -> float:
        """Cached tokens: two positions a question, or every answer token."""
        examples = self.lengths.rows["train"]
        return examples * (len(POSITIONS) if spec.text == QUESTION else self._answer(spec.text))

    def precompute_activations(self, spec: ActivationsSpec) -> Work:
        examples = self.lengths.rows["train"]
        layers = self.shape.layers if spec.text == QUESTION else len(spec.layers)
        last = BFLOAT16 if spec.precision == "bf16" else FLOAT32
        kept = self._rows(spec) * self.shape.hidden * (layers * FLOAT16 + last)
        flops = examples * self.reading(spec.teacher, self._answer(spec.text))
        return Work(forward=flops, kept=int(kept), what="activations")

    def one_position(self) -> int:
        """Return bytes of all layers' hidden states at one position of every training question."""
        return self.lengths.rows["train"] * self.shape.layers * self.shape.hidden * FLOAT16

    def precompute_logits(self, spec: LogitsSpec) -> Work:
        rows, k = self._rows(spec.activations), min(spec.top_k, self.shape.vocabulary)
        kept = rows * (FLOAT32 + k * (FLOAT16 + INT32) + 2 * FLOAT32 * len(spec.temperatures))
        return Work(forward=rows * 2 * self.shape.head, kept=int(kept), what="logits")

    def audit_signal(self, spec: SignalSpec) -> Work:
        """Return the FLOPs of the student's zero-shot prompts, and of both logits at every cached token."""
        answer = self._answer(spec.activations.text)
        reading = self.lengths.rows["train"] * self.forward(self.lengths.question + ASKING + answer)
        return Work(forward=reading + self._rows(spec.activations) * 4 * self.shape.head)

    def train(self, spec: TrainSpec) -> Work:
        answer = min(self.lengths.answer, spec.training.max_tokens)
        tokens = min(self.lengths.question + ASKING + answer, spec.training.max_tokens)
        batches = 2 if spec.learning.sft_examples and spec.learning.cross_entropy else 1
        examples = spec.schedule.max_steps * spec.training.effective_batch_size * batches
        lora = self.shape.adapter(spec.lora.r, spec.lora.target_modules) if spec.lora else 0
        flops = examples * self.trained(tokens, answer, lora, full=not spec.lora)
        size = FLOAT32 * (lora or self.shape.parameters)
        return Work(training=flops, kept=size * len(spec.schedule.checkpoints), what="checkpoints")

    def generation(self, prompt: float, shared: float, answers: float, new: float) -> Work:
        """Return the work of reading prompts and writing answers token by token."""
        decoding = answers * (2 * new * (self.shape.body + self.shape.head))
        decoding += answers * 4 * self.shape.layers * self.shape.attention_width * new * (prompt + new / 2)
        read = answers * self.forward(prompt, shared)
        return Work(read, 0.0, decoding, int(answers * new * PREDICTION_BYTES), "predictions")

    def baseline(self, spec: GenerationSpec) -> Work:
        questions = getattr(spec.evaluation.questions, "count", spec.evaluation.questions)
        new = self.lengths.answer * (1 if spec.teacher.shots else RAMBLING)
        shared = self.lengths.demonstrations(spec.teacher.shots) if spec.teacher.demonstrations == "fixed" else 0.0
        return self.generation(
            self.lengths.prompt(spec.teacher.shots),
            shared,
            self.lengths.asked(spec.split, questions),
            min(new, spec.evaluation.max_new_tokens),
        )

    rerun = write_answers = baseline

    def eval_checkpoint(self, spec: EvaluateSpec, split: str = "test") -> Work:
        questions = getattr(spec.evaluation.questions, "count", spec.evaluation.questions)
        answers = self.lengths.asked(split, questions) * len(spec.checkpoints)
        new = min(self.lengths.answer, spec.evaluation.max_new_tokens)
        return self.generation(self.lengths.prompt(0), 0.0, answers, new)

    def eval_validation(self, spec: EvaluateSpec) -> Work:
        return self.eval_checkpoint(spec, "validation")
