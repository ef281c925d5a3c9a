"""Prompts as token ids, and the positions in them at which teacher and student are compared.

One builder serves teacher, student and every evaluation backend, so the same question gives the same tokens in all.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ..config.wording import AS_IT_IS, Wording
from ..errors import JobError
from .limits import UNKNOWN, Limits, ends_of, limits_of
from .model_config import tokenizer_of
from .rows import Row
from .templates import ChatTemplate, PlainText

T = TypeVar("T")
# Items of which texts are tokenised at once; the places of their tokens in few-shot prompts take 100 MB.
AHEAD = 256


@dataclass(frozen=True)
class Prompt:
    """Token ids, and the index of the token at each named position."""

    ids: list[int]
    question_end: int
    prompt_end: int


def digest_of(sequences: Iterable[list[int]]) -> str:
    """Return the SHA-256 of token ids: of which texts were shown, in what order and in which words."""
    digest = hashlib.sha256()
    for ids in sequences:
        digest.update(json.dumps(ids).encode())
    return digest.hexdigest()


class PromptBuilder:
    """Few-shot prompts in a model's own chat format, or as plain text for a model without one.

    Args:
        tokenizer: a fast tokenizer.
        arguments: of the chat template, such as `enable_thinking=False`.
        wording: the text around a question.
        ends: tokens at which the model's own settings end an answer.
        limits: how many tokens and positions the model has; None where that isn't known.

    Raises:
        JobError: the chat template can't be used, or not with these arguments.
    """

    def __init__(
        self, tokenizer: Any, arguments: dict[str, Any] | None = None, wording: Wording = AS_IT_IS,
        ends: Sequence[int] = (), limits: Limits = UNKNOWN,
    ) -> None:  # fmt: skip
        self.tokenizer, self.ends, self.limits = tokenizer, ends, limits
        self._texts: dict[tuple, str] = {}
        self._encodings: dict[tuple[str, bool], Any] = {}
        self.is_chat = bool(getattr(tokenizer, "chat_template", None))
        if arguments and not self.is_chat:
            raise JobError(f"chat_template {arguments}: the tokenizer has no chat template")
        self.template = ChatTemplate(tokenizer, arguments or {}, wording) if self.is_chat else PlainText(wording)

    @classmethod
    def of_model(cls, folder: Path, arguments: dict[str, Any], wording: Wording = AS_IT_IS) -> "PromptBuilder":
        """Read a model folder's tokenizer and what else its prompts depend on.

        Raises:
            JobError: one of its files can't be read, or the chat template can't be used.
        """
        tokenizer, limits = tokenizer_of(folder), limits_of(folder)
        return cls(tokenizer, arguments, wording, ends_of(folder), limits)

    @property
    def generation_prompt(self) -> str:
        """The text behind a question that asks for its answer."""
        return self.template.generation_prompt

    def ahead(
        self, items: Iterable[T], prompts: Callable[[T], Iterable[tuple[str, list[Row]]]],
        answers: Callable[[T], Iterable[str]] = lambda item: (),
    ) -> Iterator[T]:  # fmt: skip
        """Yield items, having tokenised what will be built of each, many at once on all cores.

        Args:
            prompts: the question and demonstrations of each prompt of an item.
            answers: its answers.
        """
        items = iter(items)
        while batch := list(itertools.islice(items, AHEAD)):
            self._texts = {}
            for question, demonstrations in (prompt for item in batch for prompt in prompts(item)):
                with contextlib.suppress(JobError):  # `build` will say what is wrong, and its caller with which row
                    self._texts[_key(question, demonstrations)] = self._text(question, demonstrations)
            written = [self._answer_text(answer) for item in batch for answer in answers(item)]
            self._encodings = self._encode(self._texts.values(), not self.is_chat) | self._encode(written, False)
            yield from batch
        self._texts, self._encodings = {}, {}

    def _encode(self, texts: Iterable[str], special: bool) -> dict[tuple[str, bool], Any]:
        texts = list(dict.fromkeys(texts))
        with _all_cores():
            encodings = self.tokenizer(texts, add_special_tokens=special).encodings if texts else []
        return {(text, special): encoding for text, encoding in zip(texts, encodings, strict=True)}

    def _text(self, question: str, demonstrations: Sequence[Row]) -> str:
        known = self._texts.get(_key(question, demonstrations))
        return self.template.text(question, list(demonstrations)) if known is None else known

    def _answer_text(self, answer: str) -> str:
        # With the text before it, because some tokenizers put a space before what comes first.
        return self.template.generation_prompt + self.template.before_answer + answer + self.template.ending

    def build(self, question: str, demonstrations: list[Row] = ()) -> Prompt:
        """Build the prompt of a question after its demonstrations.

        Raises:
            JobError: the template or the tokenizer doesn't keep its parts apart, or the model can't read it.
        """
        self._check_marks(question, *(text for row in demonstrations for text in (row["question"], row["answer"])))
        text = self._text(question, demonstrations)
        # A chat template writes its own special tokens; plain text gets what the tokenizer adds, such as <bos>.
        ids, first = self._split(text, len(text) - len(self.generation_prompt), add_special_tokens=not self.is_chat)
        self.limits.check_length(len(ids), "the prompt")
        if first == 0:
            raise JobError("there is no token before the generation prompt, so nothing is asked")
        return Prompt(ids=ids, question_end=first - 1, prompt_end=len(ids) - 1)

    def answer_ids(self, answer: str) -> list[int]:
        """Return tokens that the model should write after a prompt: the answer and the end of its turn.

        Raises:
            JobError: as `build`.
        """
        self._check_marks(answer)
        template = self.template
        ids, first = self._split(self._answer_text(answer), len(template.generation_prompt), add_special_tokens=False)
        if template.ending and ids[-1] != self.end_of_turn:
            raise JobError(
                f"the tokenizer doesn't read {template.ending!r} behind {answer[-12:]!r} as the end of a turn"
            )
        ids = [*ids[first:], *([] if template.ending else [self.end_of_turn])]
        if early := set(ids[:-1]) & set(self.stop_ids):
            raise JobError(f"an answer contains {self.tokenizer.decode(list(early))!r}, at which generation would stop")
        return ids

    def try_out(self) -> None:
        """Build a prompt with demonstrations and an answer, so that what is wrong with the template shows.

        Raises:
            JobError: it can't be used.
        """
        rows = [{"question": f"How many are {n} and 1?", "answer": f"They are {n + 1}.\n#### {n + 1}"} for n in (2, 3)]
        few, zero = self.build("How many?", rows), self.build("How many?")
        check_same_query(self, few, zero, "How many?", "a question")
        self.answer_ids("#### 5")

    def _check_marks(self, *texts: str) -> None:
        """A special token in a text would end its turn, or begin another."""
        for text in texts:
            if mark := self._special.search(text):
                raise JobError(
                    f"a text contains {mark[0]!r}, which this tokenizer reads as a special token and not as "
                    f"text; remove it from the row: {text[:60]!r}"
                )

    @cached_property
    def _special(self) -> re.Pattern:
        tokens = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        tokens |= set(self.tokenizer.all_special_tokens)
        tokens = sorted((token for token in tokens if token.strip()), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, tokens)) or "(?!)")

    def _split(self, text: str, place: int, add_special_tokens: bool) -> tuple[list[int], int]:
        """Tokens of a text, and the first of them after a place in it.

        Raises:
            JobError: a token reaches over that place, the tokenizer writes something after the text, or the model has
                no embedding of a token.
        """
        encoding = self._encodings.get((text, add_special_tokens))
        encoding = encoding or self.tokenizer(text, add_special_tokens=add_special_tokens).encodings[0]
        ids = encoding.ids
        first = encoding.char_to_token(place)
        if first is None or encoding.token_to_chars(first)[0] != place:
            raise JobError(
                f"the tokenizer merges {text[:place][-12:]!r} with {text[place:][:12]!r}; no token ends there"
            )
        last = encoding.token_to_chars(len(ids) - 1)
        if last is None or last[1] != len(text):
            raise JobError(f"the tokenizer appends {self.tokenizer.decode(ids[-1:])!r} to the prompt")
        self._check_known(max(ids))
        return ids, first

    def _check_known(self, token: int) -> None:
        if self.limits.tokens is not None and token >= self.limits.tokens:
            raise JobError(
                f"the tokenizer's {self.tokenizer.convert_ids_to_tokens(token)!r} is token {token}, but the model has "
                f"{self.limits.tokens} tokens, numbered from 0; use the tokenizer that belongs to the model"
            )

    @cached_property
    def end_of_turn(self) -> int:
        """The token with which a model ends its answer: in a chat, the one that its template writes there.

        Raises:
            JobError: there is none, or none with an embedding.
        """
        if self.template.ending:
            return self.tokenizer(self.template.ending, add_special_tokens=False)["input_ids"][-1]
        if self.tokenizer.eos_token_id is None:
            raise JobError("the tokenizer has no end-of-sequence token, so answers would never end")
        self._check_known(self.tokenizer.eos_token_id)
        return self.tokenizer.eos_token_id

    @property
    def stop_ids(self) -> list[int]:
        """Tokens at which generation ends."""
        return sorted({self.end_of_turn, *self.ends} | ({self.tokenizer.eos_token_id} - {None}))


def _key(question: str, demonstrations: Sequence[Row]) -> tuple:
    return question, *((row["question"], row["answer"]) for row in demonstrations)


@contextlib.contextmanager
def _all_cores() -> Iterator[None]:
    """Let a tokenizer use threads, which programs otherwise forbid because processes may be forked later."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = before or "false"


def check_same_query(builder: PromptBuilder, few: Prompt, zero: Prompt, question: str, example: str) -> None:
    """Check that two prompts end in the same question and generation prompt, without which they can't be compared.

    Raises:
        JobError: names the example.
    """
    same = 0
    for left, right in zip(reversed(few.ids), reversed(zero.ids), strict=False):
        if left != right:
            break
        same += 1
    # The question's first token may merge with what is before it, so one token of it is allowed to differ.
    asked = len(builder.tokenizer(question.strip(), add_special_tokens=False)["input_ids"]) - 1
    behind = zero.prompt_end - zero.question_end
    if few.prompt_end - few.question_end != behind or same < asked + behind:
        raise JobError(f"{example}: the prompts of teacher and student differ within the question they should share")
