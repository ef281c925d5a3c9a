"""What a model wrote, as plain characters and without what isn't its answer to this question.

Every step reads the text once: expressions have no nested or adjacent repetitions that could try a text in many ways.
"""

import re
import unicodedata

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


_ANNOTATION = re.compile(r"<<[^<>\n]*>>(?=[ $€£]{0,2}\d)")
_TAGGED = re.compile(r"<answer>([^<>{}]{0,300})</answer>", re.IGNORECASE)
_POWER = re.compile(r"(?<=\d)[ ]?\*\*[ ]?(?=-?\d)")
_QUOTIENTS = {one: unicodedata.normalize("NFKC", one).replace("⁄", "/") for one in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
_SUPERSCRIPT = re.compile(r"[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_VULGAR = re.compile(r"(?P<before>\d?)(?P<fraction>[¼-¾⅐-⅞])")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")

_DIGITS = r"\{?[ ]?([-−]?[0-9]{1,20})[ ]?\}?"
_LATEX = (
    (re.compile(r"\\(?:left|right|displaystyle|bigl?|bigr?)(?![a-zA-Z])"), ""),
    (re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)[ ]?\{([^{}]{0,300})\}"), r"\1"),
    (re.compile(r"\{,\}|,\\!"), ","),
    (re.compile(r"\\[,:;>! ]|\\q?quad(?![a-zA-Z])"), " "),
    (re.compile(r"\^[ ]?(?:\{[ ]?\\circ[ ]?\}|\\circ(?![a-zA-Z]))|\\degree(?![a-zA-Z])"), "°"),
    (re.compile(r"\\(?:times|cdot)(?![a-zA-Z])"), "×"),
    (re.compile(r"\\div(?![a-zA-Z])"), "÷"),
    (re.compile(r"\\(?:approx|simeq|sim)(?![a-zA-Z])"), "≈"),
    (re.compile(r"\\pounds(?![a-zA-Z])"), "£"),
    (re.compile(r"\\([$%#&])"), r"\1"),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\^[ ]?\{[ ]?([-−+]?[0-9]{1,6})[ ]?\}"), r"^\1"),
)
# `\frac{3}{4}`, `\frac34`, `\tfrac3{4}`; without braces each part is one digit.
_FRACTION = re.compile(
    r"(?P<before>[0-9]?)\\[dtc]?frac[ ]?"
    r"(?:\{[ ]?(?P<sign>[-−]?)(?P<top>[0-9]{1,40})[ ]?\}|(?P<digit>[0-9]))[ ]?"
    r"(?:\{[ ]?(?P<bottom>[0-9]{1,40})[ ]?\}|(?P<other>[0-9]))"
)


def plain(text: str) -> str:
    """Write numbers in plain characters: LaTeX, digits of other scripts, vulgar fractions, superscripts."""
    text = _TAGGED.sub(r"\\boxed{\1}", _ANNOTATION.sub("", text)).replace("٫", ".").replace("٬", ",")
    if not text.isascii():
        text = _VULGAR.sub(_written_out, text)
        text = _SUPERSCRIPT.sub(lambda m: "^" + unicodedata.normalize("NFKC", m[0]).replace("−", "-"), text)
        text = _OTHER_DIGIT.sub(lambda m: str(unicodedata.decimal(m[0])), text)
    if "\\" in text or "{,}" in text:
        text = _FRACTION.sub(_as_quotient, text)
        for expression, by in _LATEX:
            text = expression.sub(by, text)
    return _POWER.sub("^", text).replace("**", "")


def _written_out(match: re.Match) -> str:
    quotient = _QUOTIENTS[match["fraction"]]
    return f"{match['before']} {quotient}" if match["before"] else quotient


def _as_quotient(match: re.Match) -> str:
    quotient = f"{match['sign'] or ''}{match['top'] or match['digit']}/{match['bottom'] or match['other']}"
    return f"{match['before']} {quotient}" if match["before"] else quotient
