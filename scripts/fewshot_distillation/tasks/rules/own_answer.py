"""The part of a text that answers the question, of a text in plain characters.

Every step reads the text once: expressions have no nested or adjacent repetitions that could try a text in many ways.
"""

import re

_THINKING = re.compile(
    r"[<◁](?P<close>/?)(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad)[>▷]"
    r"|\[(?P<end>/?)THINK\]|<\|(?:begin|start|(?P<over>end))_(?:of_thought|thinking)\|>",
    re.IGNORECASE,
)
# Where several channels end in the one for the reader: as it is written, and without special tokens.
_FINAL_CHANNEL = ("<|channel|>final<|message|>", "assistantfinal")

# Headings and template marks under which a model goes on to another question, at the beginning of a line.
_NEXT_QUESTION = re.compile(
    r"^[>*_# \t]{0,12}+(?:(?:new|next|another|follow-?up|practice|example|word|math)[ ])?"
    r"(?:question|problem|exercise|task|example(?=[ ]?\#?\d)|query|instructions?|prompt|input|user|human|q"
    r"|frage|aufgabe|pregunta|problema|domanda|问题|問題|题目|題目)"
    r"[ ]?\#?\d{0,4}[*_]{0,3}[ ]?(?:[:：]|[.)](?!\d)|$)|^(?:now )?solve (?:the following|this)\b",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(
    r"</s>|<eos>|<end_of_turn>|<start_of_turn>|\[/?INST\]|<\|(?:im_end|im_start|endoftext|eot_id|start_header_id|user|end)\|>"
)
_ANSWERED = re.compile(
    r"####[^\n\d]{0,40}\d[^\n]*|\\boxed\b[^\n]*|\banswer\b[\s*_]{0,4}(?:is\b|[:=])[^\n\d]{0,60}\d[^\n]*", re.IGNORECASE
)
_ASKS = re.compile(r"\b(?:how|what|which|find|calculate)\b", re.IGNORECASE)
_GOES_ON = re.compile(
    r"[\s*_]*(?:wait|but|let|so|is|hmm|check|now|then|therefore|to|verify|first|next)\b", re.IGNORECASE
)


def own_answer(text: str) -> str:
    """Return what answers the question: nothing that was thought in between, and no further question."""
    return _without_next_question(_without_thinking(text))


def _without_thinking(text: str) -> str:
    if text.startswith(("<|channel|>", "analysis")):
        for mark in _FINAL_CHANNEL:
            text = text.rpartition(mark)[2]
        if text.startswith("<|channel|>"):  # cut off before the last one
            return ""
    kept, start, inside = [], 0, False
    for tag in _THINKING.finditer(text):
        if tag["close"] or tag["end"] or tag["over"]:
            if not inside:  # opened by the chat template
                kept.clear()
            start, inside = tag.end(), False
        elif not inside:
            kept.append(text[start : tag.start()])
            inside = True
    # Thinking that doesn't end has not led to an answer.
    return "\n".join(kept if inside else [*kept, text[start:]])


def _without_next_question(text: str) -> str:
    ended = _END.search(text, re.compile(r"\s*").match(text).end() + 1)
    ends = [ended.start()] if ended else []
    # A model may begin by repeating the question, so a heading counts only behind something that may be an answer.
    digit = re.search(r"\d", text)
    if digit:
        heading = next((m for m in _NEXT_QUESTION.finditer(text) if m.start() > digit.start()), None)
        ends += [heading.start()] if heading else []
    answered = _ANSWERED.search(text)
    if answered:
        ends += _posed_without_heading(text, answered.end())
    return text[: min(ends)] if ends else text


def _posed_without_heading(text: str, start: int) -> list[int]:
    """Where a line after the answer begins another problem: `Tom has 5 apples. How many …?`."""
    place = start
    for line in text[start:].split("\n"):
        story, _, asked = line.rpartition("?")[0].rpartition(". ")
        if asked and _ASKS.search(asked) and re.search(r"\d", story) and not _GOES_ON.match(line):
            return [place]
        place += len(line) + 1
    return []
