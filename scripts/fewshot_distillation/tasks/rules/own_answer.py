"""The part of a text that answers the question, of a text in plain characters.

Every step reads the text once: expressions have no nested or adjacent repetitions that could try a text in many ways.
"""

import re

_THINKING = re.compile(
    r"[<◁]\|?(?P<close>/|end_(?:of_)?)?(?:(?:begin|start)_(?:of_)?)?(?:[a-z]{1,12}:)?(?:inner_)?"
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad)(?:_start|(?P<over>_end))?[ ]?\|?[>▷]"
    r"|\[(?P<end>/?)think(?:ing)?\]",
    re.IGNORECASE,
)
# Where several channels end in the one for the reader: as it is written, and without special tokens.
_FINAL_CHANNEL = ("<|channel|>final<|message|>", "assistantfinal")

# Headings and template marks under which a model goes on to another question, at the beginning of a line.
_NEXT_QUESTION = re.compile(
    r"^[-·>*_#\[< \t]{0,12}+(?:\d{1,3}[.)][ ])?(?:(?:here(?: is|'s)|now)[ ])?(?:(?:an?|the|one)[ ])?"
    r"(?:(?:new|next|another|other|more|bonus|extra|additional|similar|related|follow-?up|second|third|fourth|last|final"
    r"|practice|sample|example|word|math)[ ])?"
    r"(?:(?:question|problem|exercise|task|example(?=[ ]?\#?\d)|query|instructions?|prompt|input|user|human|q"
    r"|frage|aufgabe|pregunta|problema|ejercicio|domanda|pergunta|exercice|problème|вопрос|задача"
    r"|问题|問題|题目|題目|質問|문제|질문)"
    r"[ ]?(?:no\.?[ ]?|number[ ])?\#?(?:\d{0,4}|one|two|three|four|five)[*_]{0,3}[ ]?(?:[:\]>]|[.)](?!\d)|$)"
    r"|(?:question|problem|exercise|task|example)[ ]\d{1,3}\.\d)"
    r"|^(?:now )?solve (?:the following|this)\b",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(
    r"</s>|<eos>|<end_of_turn>|<start_of_turn>|\[/?INST\]|<\|(?:im_end|im_start|endoftext|eot_id|start_header_id|user|end)\|>"
)
_ANSWERED = re.compile(
    r"####[^\n\d]{0,40}\d[^\n]*|\\boxed\b[^\n]*|\banswer\b[\s*_]{0,4}(?:is\b|[:=])[^\n\d]{0,60}\d[^\n]*", re.IGNORECASE
)
# Headings that hardly anything else looks like; the others count only where an answer was given before.
_PLAIN = re.compile(
    r"[>*_# \t]{0,12}+(?:(?:new|next|another|follow-?up|practice|example|word|math)[ ])?"
    r"[^\W\d_]{1,20}[ ]?\#?\d{0,4}[*_]{0,3}[ ]?(?:[:.)]|$)|(?:now )?solve .*",
    re.IGNORECASE,
)
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*\Z")
# A line that ends with a result.
_CONCLUDES = re.compile(
    r"(?:[=≈→是]|\b(?:is|are|equals|makes|so|thus|therefore|hence|ist|sind|est|sont|es|son)\b)"
    r"[^\n\d]{0,80}\d[\d.,]*+[^\n\d]{0,80}\Z",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d++(?:[.,]\d++)*+")
_ASKS = re.compile(r"\b(?:how|what|which|find|calculate)\b", re.IGNORECASE)
_GOES_ON = re.compile(
    r"[\s*_]*(?:wait|but|let|so|is|hmm|check|now|then|therefore|to|verify|first|next)\b", re.IGNORECASE
)
# How far behind a result its further use may be.
_REACH = 600


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
    text = text[: ended.start()] if ended else text
    digit = re.search(r"\d", text)
    if not digit:
        return text
    answers = list(_ANSWERED.finditer(text))
    for heading in _NEXT_QUESTION.finditer(text):
        # A model may begin by repeating the question, so a heading counts only behind something that may be an answer.
        if heading.start() > digit.start() and _ends(text, heading, answers):
            text = text[: heading.start()]
            break
    if answers and answers[0].end() <= len(text):
        return text[: _posed_without_heading(text, answers[0])]
    return text


def _ends(text: str, heading: re.Match, answers: list[re.Match]) -> bool:
    """Whether the question was answered before a heading, so that what follows answers another one.

    What is in the lines right before it may also lead to the answer, `Given: 5 apples` or `Step 1 gives 11`, which then
    is given behind it. A result counts as the answer if it isn't taken up there.
    """
    if answers and answers[0].start() < heading.start():
        return True
    if not _PLAIN.fullmatch(heading[0]):
        return False
    if not answers or _BLANK_LINE.search(text, max(0, heading.start() - 20), heading.start()):
        return True
    last_line = text[max(0, heading.start() - 200) : heading.start()].rstrip().rpartition("\n")[2]
    return bool(_CONCLUDES.search(last_line)) and not _used(_last_number(last_line), text, heading.end())


def _last_number(text: str) -> str:
    return ["", *_NUMBER.findall(text)][-1]


def _used(number: str, text: str, start: int) -> bool:
    """Whether a number stands soon behind a place."""
    return number in _NUMBER.findall(text, start, start + _REACH)


def _posed_without_heading(text: str, answer: re.Match) -> int:
    """Where a line after the answer begins another problem, `Tom has 5 apples. How many …?`, or the text's end."""
    place, result = answer.end(), _last_number(answer[0])
    for line in text[place:].split("\n"):
        question = line.rpartition("?")[0]
        story, _, asked = question.rpartition(". ")
        asks = _ASKS.search(asked)
        if asks and not _GOES_ON.match(line):
            # In one sentence, `If each costs $2, how many …?`, it may be the next step, which takes up the last result.
            before = story or question[: asks.start()]
            if re.search(r"\d", before) and (story or not _used(result, text, place)):
                return place
        place += len(line) + 1
    return len(text)
