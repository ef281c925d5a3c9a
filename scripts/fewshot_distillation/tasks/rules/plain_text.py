"""What a model wrote, in plain characters, so that the rules know one minus, one fraction and one space.

Every step reads the text once: expressions have no nested or adjacent repetitions that could try a text in many ways.
"""

import re
import unicodedata

from .number_grammar import value_of

# Characters that say the same as a plain one.
_ALIKE = {
    " ": "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    "": "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff",  # can't be seen
    "-": "\u2010\u2011\u2012–−﹣",  # a long dash parts sentences
    "×": "✕✖⨯⨉╳",
    "·": "⋅∙•・∗",
    "/": "⁄∕",
    "≈": "≃≅≒",
    "→": "⇒⟹⟶➔➜➡⟾",
    "'": "‘’‛ʼ´′",
    '"': "“”„«»",
    "¥": "￥",
    "£": "￡",
    "[": "【",
    "]": "】",
    ".": "٫",
    ",": "٬",
    # Between parts of a sentence, where no space is written.
    ", ": "，、",
    ". ": "。",
}
_CHARACTERS = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # full width
    | {one: plain for plain, others in _ALIKE.items() for one in others}
)
_WIDE_THOUSANDS = re.compile(r"(?<=[０-９])，(?=[０-９])")
_ARROW = re.compile(r"[-=]{1,2}+>")
_ANNOTATION = re.compile(r"<<[^<>\n]*>>(?=[ $€£]{0,2}\d)")
_TAGGED = re.compile(r"<answer>([^<>{}]{0,300})</answer>", re.IGNORECASE)
_QUOTIENTS = {one: unicodedata.normalize("NFKC", one).replace("⁄", "/") for one in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
_SUPERSCRIPT = re.compile(r"[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_VULGAR = re.compile(r"(?P<before>\d?)(?P<fraction>[¼-¾⅐-⅞])")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_PYTHON_POWER = re.compile(r"(?<=\d)[ ]?\*\*[ ]?(?=-?\d)")
_POWER = re.compile(r"\^[ ]?[{(][ ]?([-+]?[0-9]{1,6})[ ]?[})]")

_COMMAND = re.compile(r"\\([A-Za-z]{2,16}+)[ ]?")
_MEANING = {
    command: plain
    for plain, commands in {
        "": "left right big bigl bigr Big Bigl Bigr displaystyle",
        " ": "quad qquad thinspace medspace thickspace enspace",
        "×": "times",
        "·": "cdot",
        "÷": "div",
        "/": "over",
        "≈": "approx simeq sim",
        "→": "to rightarrow Rightarrow longrightarrow Longrightarrow implies",
        "°": "degree",
        "£": "pounds",
    }.items()
    for command in commands.split()
}
# `\frac{3}{4}`, `\frac34`, `\tfrac3{4}`; without braces each part is one digit.
_PART = r"(?:\{{[ ]?(?P<{0}_sign>-?)(?P<{0}>[0-9.][0-9.,]{{0,39}})[ ]?\}}|(?P<{0}_digit>[0-9]))"
_FRACTION = re.compile(
    rf"(?P<before>[0-9]?)\\(?:[dtcs]|nice)?frac[ ]?{_PART.format('top')}[ ]?{_PART.format('bottom')}"
)
_BEFORE_FRACTIONS = (
    (re.compile(r"\{,\}|,\\!"), ","),
    (re.compile(r"\\[,:;>! ]"), " "),
    (re.compile(r"(?<=\d)~(?=\d{3}(?!\d)|[A-Za-z\\])"), " "),  # elsewhere a range or `about`
)
_AFTER_FRACTIONS = (
    (re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)[ ]?\{([^{}]{0,300})\}"), r"\1"),
    (re.compile(r"\^[ ]?(?:\{[ ]?\\circ[ ]?\}|\\circ(?![a-zA-Z]))"), "°"),
    (re.compile(r"\\([$%#&])"), r"\1"),
    (re.compile(r"\\[()\[\]]"), " "),
)


def plain(text: str) -> str:
    """Write numbers in plain characters: LaTeX, digits of other scripts, vulgar fractions, superscripts."""
    if not text.isascii():
        text = _VULGAR.sub(_written_out, text)
        text = _SUPERSCRIPT.sub(lambda m: "^" + unicodedata.normalize("NFKC", m[0]), text)
        text = _WIDE_THOUSANDS.sub(",", text).translate(_CHARACTERS)
        text = _OTHER_DIGIT.sub(lambda m: str(unicodedata.decimal(m[0])), text)
    text = _TAGGED.sub(r"\\boxed{\1}", _ANNOTATION.sub("", text))
    if "\\" in text or "{,}" in text:
        text = _COMMAND.sub(lambda m: _MEANING.get(m[1], m[0]), text)
        for expression, by in _BEFORE_FRACTIONS:
            text = expression.sub(by, text)
        text = _FRACTION.sub(_as_quotient, text)
        for expression, by in _AFTER_FRACTIONS:
            text = expression.sub(by, text)
    text = _PYTHON_POWER.sub("^", _ARROW.sub("→", text)).replace("**", "")
    return _POWER.sub(r"^\1", text)


def _written_out(match: re.Match) -> str:
    quotient = _QUOTIENTS[match["fraction"]]
    return f"{match['before']} {quotient}" if match["before"] else quotient


def _as_quotient(match: re.Match) -> str:
    top, bottom = (match[part] or match[f"{part}_digit"] for part in ("top", "bottom"))
    if not (top + bottom).isdigit():
        numbers = value_of(top), value_of(bottom)
        if not all(numbers):
            return match[0]
        top, bottom = (numbers[0] / numbers[1]).as_integer_ratio()
    sign = "-" if (match["top_sign"] or "") != (match["bottom_sign"] or "") else ""
    return f"{match['before']} {sign}{top}/{bottom}" if match["before"] else f"{sign}{top}/{bottom}"
