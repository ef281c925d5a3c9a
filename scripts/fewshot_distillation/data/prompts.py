"""Prompts as token ids, and the positions in them at which teacher and student are compared.

One builder serves teacher, student and every evaluation backend, so the same question gives the same tokens in all.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, meta

from ..runtime.errors import JobError
from .rows import Row

# A conversation that shows what a chat template writes around its messages.
QUESTION, ANSWER = "QUESTION", "ANSWER"
TURNS = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]


@dataclass(frozen=True)
class Prompt:
    """Token ids, and the index of the token at each named position."""

    ids: list[int]
    question_end: int
    prompt_end: int


class PromptBuilder:
    """Few-shot prompts in a model's own chat format, or as plain text for a model without one.

    Args:
        tokenizer: a fast tokenizer.
        template_arguments: arguments of the chat template, such as `enable_thinking=False`.
        ends: tokens at which the model's own settings end an answer.
    """

    def __init__(
        self, tokenizer: Any, template_arguments: dict[str, Any] | None = None, ends: Sequence[int] = ()
    ) -> None:
        self.tokenizer = tokenizer
        self.arguments = template_arguments or {}
        self.ends = ends
        self.is_chat = bool(getattr(tokenizer, "chat_template", None))
        self._check_arguments()

    @classmethod
    def of_model(cls, folder: Path, template_arguments: dict[str, Any]) -> "PromptBuilder":
        from transformers import AutoTokenizer

        settings = folder / "generation_config.json"
        ends = json.loads(settings.read_text()).get("eos_token_id") if settings.is_file() else None
        ends = [] if ends is None else [ends] if isinstance(ends, int) else ends
        return cls(AutoTokenizer.from_pretrained(folder, trust_remote_code=False), template_arguments, ends)

    def _check_arguments(self) -> None:
        """An argument that the template doesn't read is ignored without a word, so ask the template itself."""
        if self.arguments and not self.is_chat:
            raise JobError(f"chat_template {self.arguments}: the tokenizer has no chat template")
        if self.arguments:
            known = meta.find_undeclared_variables(
                Environment(extensions=["jinja2.ext.loopcontrols"]).parse(self._template())
            )
            for name in self.arguments:
                if name not in known:
                    raise JobError(f"chat_template.{name}: the model's chat template doesn't know '{name}'")

    def _template(self) -> str:
        """The source of the chat template, without the marks that only training frameworks read."""
        return re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", self.tokenizer.get_chat_template())

    def _render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=generation_prompt, **self.arguments
        )

    @cached_property
    def generation_prompt(self) -> str:
        """What follows a question and asks for its answer; where a template has nothing of its own for that, as
        Mistral's, the text that ends the question's turn."""
        if not self.is_chat:
            return "Answer:"
        before, whole = self._render(TURNS[:1], False), self._render(TURNS[:1], True)
        asking = whole.rpartition(QUESTION)[2] if whole == before else whole[len(before) :]
        if not whole.startswith(before) or not asking.strip():
            raise JobError("the chat template writes nothing after a question, so the question's end can't be found")
        return asking

    @cached_property
    def _before_answer(self) -> str:
        """What stands between the generation prompt and an answer: mostly nothing, a space in Mistral's template."""
        if not self.is_chat:
            return " "
        asked, answered = self._render(TURNS[:1], True), self._render(TURNS, False)
        return answered[len(asked) :].partition(ANSWER)[0] if answered.startswith(asked) else ""

    def text(self, question: str, demonstrations: list[Row]) -> str:
        """The prompt of a question after its demonstrations, up to and with the generation prompt."""
        if not self.is_chat:
            shown = "".join(f"Question: {d['question']}\nAnswer: {d['answer']}\n\n" for d in demonstrations)
            return f"{shown}Question: {question}\n{self.generation_prompt}"
        messages = []
        for row in demonstrations:
            messages += [
                {"role": "user", "content": row["question"]},
                {"role": "assistant", "content": row["answer"]},
            ]
        text = self._render([*messages, {"role": "user", "content": question}], True)
        if not text.endswith(self.generation_prompt):
            raise JobError("the chat template's generation prompt isn't always the same; the question's end is unclear")
        return text

    def build(self, question: str, demonstrations: list[Row] = ()) -> Prompt:
        """The prompt of a question after its demonstrations."""
        text = self.text(question, list(demonstrations))
        # A chat template writes its own special tokens; plain text gets what the tokenizer adds, such as <bos>.
        ids, first = self._split(text, len(text) - len(self.generation_prompt), add_special_tokens=not self.is_chat)
        return Prompt(ids=ids, question_end=first - 1, prompt_end=len(ids) - 1)

    def answer_ids(self, answer: str) -> list[int]:
        """Tokens that the model should write after a prompt: the answer and the end of its turn."""
        # With the text before it, because some tokenizers put a space before what comes first.
        text = self.generation_prompt + self._before_answer + answer
        ids, first = self._split(text, len(self.generation_prompt), add_special_tokens=False)
        return [*ids[first:], self.end_of_turn]

    def _split(self, text: str, place: int, add_special_tokens: bool) -> tuple[list[int], int]:
        """Tokens of a text, and the first of them that lies behind a place in it.

        Raises:
            JobError: a token reaches over that place, or the tokenizer writes something after the text.
        """
        encoding = self.tokenizer(text, add_special_tokens=add_special_tokens)
        ids = encoding["input_ids"]
        first = encoding.char_to_token(place)
        if first is None or encoding.token_to_chars(first).start != place:
            raise JobError(
                f"the tokenizer merges {text[:place][-12:]!r} with {text[place:][:12]!r}; no token ends there"
            )
        last = encoding.token_to_chars(len(ids) - 1)
        if last is None or last.end != len(text):
            raise JobError(f"the tokenizer appends {self.tokenizer.decode(ids[-1:])!r} to the prompt")
        return ids, first

    @cached_property
    def end_of_turn(self) -> int:
        """The token with which a model ends its answer: in a chat, the one that its template writes there."""
        if self.tokenizer.eos_token_id is None:
            raise JobError("the tokenizer has no end-of-sequence token, so answers would never end")
        if not self.is_chat:
            return self.tokenizer.eos_token_id
        ending = self._render(TURNS, False).rpartition(ANSWER)[2].strip()
        ids = self.tokenizer(ending, add_special_tokens=False)["input_ids"]
        return ids[0] if ids else self.tokenizer.eos_token_id

    @property
    def stop_ids(self) -> list[int]:
        """Tokens at which generation ends."""
        return sorted({self.end_of_turn, self.tokenizer.eos_token_id, *self.ends})


def check_same_query(builder: PromptBuilder, few: Prompt, zero: Prompt, question: str, example: str) -> None:
    """The comparison is meaningful only if both prompts end in the same question and generation prompt.

    Raises:
        JobError: names the example.
    """
    same = 0
    for left, right in zip(reversed(few.ids), reversed(zero.ids), strict=False):
        if left != right:
            break
        same += 1
    # The question's first token may merge with what stands before it, so one token of it is allowed to differ.
    asked = len(builder.tokenizer(question, add_special_tokens=False)["input_ids"]) - 1
    behind = zero.prompt_end - zero.question_end
    if few.prompt_end - few.question_end != behind or same < asked + behind:
        raise JobError(f"{example}: the prompts of teacher and student differ within the question they should share")
