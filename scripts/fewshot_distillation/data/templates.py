"""The text around questions and answers: a model's chat template, or a plain format for a model without one."""

import re
from datetime import datetime, time
from functools import cached_property
from typing import Any

from jinja2 import Environment, TemplateError, meta, nodes

from ..config.wording import QUESTION as PLACE
from ..config.wording import Wording
from ..errors import JobError, one_line
from .rows import Row

# A conversation that shows what a chat template writes around its messages.
QUESTION, ANSWER = "zqQUESTIONqz", "zqANSWERqz"
TURNS = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]

# Variables from which chat templates take today's date: any with such a word in its name that isn't a switch. A
# template that asks by `strftime_now`, as most do, gives the date its form itself.
_DATE = re.compile(
    r"(?!(?:add|enable|disable|has|hide|include|is|no|show|skip|use|with|without)_)"
    r"(?:.*_)?(?:date|todays?|(?:date)?time|timestamp)(?:_.*)?"
)
# Forms that are expected by name; the others get ISO 8601.
FORMS = {"date_string": "%d %b %Y"}  # Llama 3
# Variables that are set for every template, and so by nobody else.
OURS = {"messages", "add_generation_prompt", "raise_exception", "strftime_now", "tools", "documents"}


def message(wording: Wording, question: str) -> str:
    """Write the user's message that asks a question."""
    return wording.question.replace(PLACE, question)


class PlainText:
    """`Question: …`, `Answer: …` for a model without a chat template."""

    generation_prompt = "Answer:"
    before_answer = " "
    ending = ""

    def __init__(self, wording: Wording) -> None:
        self.system = f"{wording.system}\n\n" if wording.system else ""
        self.wording = wording.model_copy(update={"question": f"Question: {PLACE}"})
        if wording.question != PLACE:
            self.wording = wording

    def text(self, question: str, demonstrations: list[Row]) -> str:
        """Render a prompt, up to and with the generation prompt."""
        shown = "".join(
            f"{message(self.wording, row['question'])}\nAnswer: {row['answer']}\n\n" for row in demonstrations
        )
        return f"{self.system}{shown}{message(self.wording, question)}\n{self.generation_prompt}"


class ChatTemplate:
    """What a model's chat template makes of a conversation.

    Args:
        tokenizer: a tokenizer with a chat template.
        arguments: of the template, such as `enable_thinking=False`.
        wording: the user's and the system's message, and the date.

    Raises:
        JobError: the template can't be read, draws at random, or has no such argument.
    """

    def __init__(self, tokenizer: Any, arguments: dict[str, Any], wording: Wording) -> None:
        self.tokenizer, self.wording = tokenizer, wording
        known = self._variables()
        for name in arguments:
            if name not in known or name in OURS:
                raise JobError(f"chat_template.{name}: the model's chat template has no argument '{name}'")
        day = datetime.combine(wording.template_date, time())
        asked = [] if "strftime_now" in known else [name for name in known if _DATE.fullmatch(name)]
        dates = {name: day.strftime(FORMS.get(name, "%Y-%m-%d")) for name in asked}
        # What is given to a template comes before the function of this name that transformers offers to all.
        self.arguments = {"strftime_now": day.strftime} | dates | arguments

    def _variables(self) -> set[str]:
        """Variables that the template reads and doesn't set before."""
        try:
            # Without the marks that only training frameworks read.
            source = re.sub(r"{%[-+]?\s*(end)?generation\s*[-+]?%}", "", self.tokenizer.get_chat_template())
            tree = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(source)
            known = meta.find_undeclared_variables(tree)
        except (TemplateError, ValueError, TypeError, RecursionError) as error:
            raise JobError(f"the chat template can't be read: {_said(error)}") from None
        names = {node.name for node in tree.find_all((nodes.Filter, nodes.Name))}
        if names & {"random", "lipsum"}:
            raise JobError("the chat template draws at random, so a prompt isn't always the same")
        return known

    def _system(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": self.wording.system}] if self.wording.system else []

    def _render(self, turns: list[dict[str, str]], asking: bool) -> str:
        try:
            return self._rendered([*self._system(), *turns], asking)
        except Exception as error:  # whatever a template of somebody else's may raise
            advice = (
                " (it takes no system message; set prompt.system to null)"
                if self.wording.system
                else " (it wants a system message; set prompt.system)"
            )
            otherwise = self._works_otherwise(turns, asking)
            raise JobError(f"the chat template fails: {_said(error)}{advice if otherwise else ''}") from None

    def _rendered(self, messages: list[dict[str, str]], asking: bool) -> str:
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=asking, **self.arguments
        )

    def _works_otherwise(self, turns: list[dict[str, str]], asking: bool) -> bool:
        """Whether it is the system message that a template misses or doesn't want."""
        system = [] if self.wording.system else [{"role": "system", "content": "You are a helpful assistant."}]
        try:
            self._rendered([*system, *turns], asking)
        except Exception:
            return False
        return True

    @cached_property
    def _marks(self) -> re.Pattern:
        """Tokens that a tokenizer reads as a whole, whatever is around them, and that are no spaces."""
        tokens = {str(token) for token in self.tokenizer.added_tokens_decoder.values()}
        tokens = {token for token in tokens | set(self.tokenizer.all_special_tokens) if token.strip()}
        return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or "(?!)")

    def _starts_with_mark(self, text: str, place: int) -> int:
        """The place, or the beginning of the mark that it is in."""
        return next((m.start() for m in self._marks.finditer(text) if m.start() <= place < m.end()), -1)

    @cached_property
    def generation_prompt(self) -> str:
        """What follows a question and asks for its answer; where a template has nothing of its own for that, as
        Mistral's, the text that ends the question's turn."""
        before, whole = self._render(TURNS[:1], False), self._render(TURNS[:1], True)
        if self.wording.system and self.wording.system not in whole:
            raise JobError("prompt.system: the chat template doesn't show the model a system message")
        if QUESTION not in whole:
            raise JobError("the chat template changes or leaves out the user's message")
        if whole == before:
            asking = whole.rpartition(QUESTION)[2]
        elif whole.startswith(before):
            asking = whole[len(before) :]
        else:
            # Some end a conversation that asks for nothing more, as Phi-3's. The two part at a mark of one of them.
            same = next((i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), len(whole))
            place = max(self._starts_with_mark(before, same), self._starts_with_mark(whole, same))
            asking = whole[place:] if place >= 0 else ""
        if not asking.strip() or QUESTION in asking:
            raise JobError("the chat template writes nothing after a question, so the question's end can't be found")
        return asking

    @cached_property
    def before_answer(self) -> str:
        """What is between the generation prompt and an answer: mostly nothing, a space in Mistral's template."""
        asked, answered = self._render(TURNS[:1], True), self._render(TURNS, False)
        return answered[len(asked) :].partition(ANSWER)[0] if answered.startswith(asked) else ""

    @cached_property
    def ending(self) -> str:
        """What follows an answer, up to the mark that ends its turn; nothing where the template writes none.

        Raises:
            JobError: the template ends an answer with text that is no token of this tokenizer.
        """
        before, found, behind = self._render(TURNS, False).rpartition(ANSWER)
        if not found:
            raise JobError("the chat template leaves out an answer that it was given")
        mark = self._marks.search(behind)
        if mark is None and behind.strip():
            text = behind.strip()
            pieces = self.tokenizer.tokenize(text)
            raise JobError(
                f"the chat template ends an answer with {text[:40]!r}, which this tokenizer has no token for "
                f"({', '.join(map(repr, pieces[:4]))}, …); add it to the tokenizer's special tokens, or give the model "
                "a template that ends answers with a token"
            )
        return behind[: mark.end()] if mark else ""

    def text(self, question: str, demonstrations: list[Row]) -> str:
        """Render a prompt, up to and with the generation prompt.

        Raises:
            JobError: the template doesn't show a text as it is, or ends in another generation prompt than usual.
        """
        turns = []
        for row in demonstrations:
            turns.append({"role": "user", "content": message(self.wording, row["question"])})
            turns.append({"role": "assistant", "content": row["answer"]})
        turns.append({"role": "user", "content": message(self.wording, question)})
        text = self._render(turns, True)
        if not text.endswith(self.generation_prompt):
            raise JobError("the chat template's generation prompt isn't always the same; the question's end is unclear")
        place = 0
        for turn in turns:
            content = turn["content"].strip()
            place = text.find(content, place)
            if place < 0:
                raise JobError(
                    f"the chat template changes or leaves out the {turn['role']}'s message: {content[:60]!r}"
                )
            place += len(content)
        return text


def _said(error: Exception) -> str:
    words = one_line(error)
    return words if isinstance(error, TemplateError) and words else f"{type(error).__name__}: {words}"
