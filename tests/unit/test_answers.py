"""What a person would read as the answer, and what a reference answer says."""

import random
import time
from decimal import Decimal
from pathlib import Path

import pytest

from fewshot_distillation.tasks.rules.numbers import flexible, strict

# Text, the number after ####, and the number that a lenient reader takes.
OUTPUTS = {
    "plain": ("#### 18", "18", "18"),
    "after the steps": ("5 * 3 = 15\n15 + 3 = 18\n#### 18", "18", "18"),
    "dollar": ("#### $18", "18", "18"),
    "pound": ("#### £18", "18", "18"),
    "thousands": ("#### 70,000", "70000", "70000"),
    "thousands and decimals": ("#### 1,234.50", "1234.5", "1234.5"),
    "negative": ("#### -3", "-3", "-3"),
    "unicode minus": ("#### −3", "-3", "-3"),
    "negative dollars": ("#### -$3", "-3", "-3"),
    "dollars, negative": ("#### $-3", "-3", "-3"),
    "plus": ("#### +7", "7", "7"),
    "decimals that say nothing": ("#### 5.00", "5", "5"),
    "full stop": ("#### 18.", "18", "18"),
    "full stop after decimals": ("#### 2.50.", "2.5", "2.5"),
    "no leading zero": ("#### .5", "0.5", "0.5"),
    "no space": ("####18", "18", "18"),
    "bold": ("**#### 18**", "18", "18"),
    "bold number": ("#### **18**", "18", "18"),
    "equals": ("#### = 18", "18", "18"),
    "unit": ("#### 18 apples", "18", "18"),
    "percent": ("#### 3.5%", "3.5", "3.5"),
    "text after the number": ("#### 18\nThat is because 9 + 9 = 18, and 5 is left over", "18", "18"),
    "another question after it": ("#### 18\n\nQuestion: 3 + 4?\n#### 7", "18", "18"),
    "empty mark, then one with a number": ("####\nSo it is #### 12", "12", "12"),
    "number on the next line": ("####\n18", "18", "18"),
    "sentence": ("The answer is 12 apples.", None, "12"),
    "sentence with dollars": ("So she pays $1,250.75.", None, "1250.75"),
    "subtraction": ("7 - 3 = 4", None, "4"),
    "subtraction at the end": ("What is left is 7 - 3", None, "3"),
    "subtraction without spaces": ("That makes 10-4", None, "4"),
    "negative in a sentence": ("The temperature is -4", None, "-4"),
    "unicode minus in a sentence": ("It is −4 degrees", None, "-4"),
    "list with commas": ("It is 1, 2 or 3", None, "3"),
    "comma after a number": ("There are 12, so yes", None, "12"),
    "percent in a sentence": ("It grows by 3.5%", None, "3.5"),
    "colon": ("####: 18", "18", "18"),
    "escaped dollar": (r"#### \$18", "18", "18"),
    "spaces for thousands": ("#### 70 000", "70000", "70000"),
    "fraction": ("#### 1/2", "0.5", "0.5"),
    "hyphen of a word": ("He arrives on Day-3", None, "3"),
    "list of hyphens": ("- 18", None, "18"),
    "range": ("It takes 10-12 days", None, "12"),
    "two marks": ("#### 18 #### 20", "18", "18"),
    "numbered heading": ("#### 1. Count the eggs\n9 * 2 = 18\n#### 18", "18", "18"),
    "number and a sentence, no heading": ("#### 18. That is all.", "18", "18"),
    "unit that touches": ("#### 18kg", "18", "18"),
    "cents": ("#### 50 cents", "50", "50"),
    "currency behind": ("#### 18$", "18", "18"),
    "yen": ("#### ¥1,800", "1800", "1800"),
    "escaped percent": (r"#### 25\%", "25", "25"),
    "en dash": ("#### –3", "-3", "-3"),
    "minus apart": ("#### - 3", "-3", "-3"),
    "Indian thousands": ("#### 1,23,456", "123456", "123456"),
    "equation": ("#### 5 + 13 = 18", "18", "18"),
    "equation without spaces": ("#### 5x3=15", "15", "15"),
    "equation the other way round": ("#### 18 = 9 + 9", "18", "18"),
    "equation with a currency": ("#### 3 * $6 = $18", "18", "18"),
    "calculator mark": ("#### <<9*2=18>>18", "18", "18"),
    "unknown": ("#### x = 18", "18", "18"),
    "division": ("#### 36/2 = 18", "18", "18"),
    "quotes": ('#### "18"', "18", "18"),
    "code": ("#### `18`", "18", "18"),
    "parentheses": ("#### (18)", "18", "18"),
    "about": ("#### ≈ 18", "18", "18"),
    "end of sequence as text": ("#### 18</s>", "18", "18"),
    "mixed number": ("#### 3 1/2 hours", "3.5", "3.5"),
    "negative fraction": ("#### -1/2", "-0.5", "-0.5"),
    "words before the number": ("#### The answer is 18", None, "18"),
    "another heading": ("### Answer: 18", None, "18"),
    "range after the mark": ("#### 12-15", None, "15"),
    "time of day": ("#### 2:30", None, "30"),
    "power": ("#### 5^3", None, None),
    "LaTeX box": (r"So she has \boxed{18} eggs, 2 more than 16.", None, "18"),
    "LaTeX box after the mark": (r"#### $\boxed{18}$", "18", "18"),
    "LaTeX parentheses": (r"#### \(18\)", "18", "18"),
    "LaTeX thousands": (r"\[ \boxed{1{,}234} \]", None, "1234"),
    "LaTeX dollars": (r"\boxed{\$18.50}", None, "18.5"),
    "LaTeX unit": (r"\boxed{18\text{ dollars}}", None, "18"),
    "LaTeX equation": (r"\boxed{x = 18} since 20 is too many", None, "18"),
    "LaTeX fraction": (r"#### \frac{3}{4}", "0.75", "0.75"),
    "LaTeX mixed number": (r"\boxed{3\frac{1}{2}}", None, "3.5"),
    "two LaTeX boxes": (r"First \boxed{5}, then \boxed{6} of 7", None, "6"),
    "LaTeX box without a number": (r"\boxed{many}, that is 18", None, "18"),
    "bold answer": ("The answer is **18** apples, 5 more than before.", None, "18"),
    "stated answer": ("The answer is: 18 in 2 days", None, "18"),
    "stated equation": ("Answer: 5 + 13 = 18, all in 3 days", None, "18"),
    "answer corrected": ("The answer is 5. No, the answer is 6, as 2 are left.", None, "6"),
    "answer that is only mentioned": ("We answer in 3 steps: 9 + 9 = 18", None, "18"),
    "the model's own next question": ("Answer: 18\n\nQuestion: 3 + 4?\nAnswer: #### 7", None, "18"),
    "fraction in a sentence": ("She eats 1/2 of it", None, "0.5"),
    "no number": ("I don't know.", None, None),
    "mark without a number": ("####", None, None),
    "nothing": ("", None, None),
    "only a point": ("#### .", None, None),
}


def number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@pytest.mark.parametrize(("text", "marked", "lenient"), OUTPUTS.values(), ids=OUTPUTS)
def test_extraction(text: str, marked: str | None, lenient: str | None):
    assert strict(text) == number(marked)
    assert flexible(text) == number(lenient)


LONG = [
    "1", "1 = ", "1 + ", "#### ", "answer is 1-2 ", "\n", "#### 1 = ", "#", "1,", "1.", "1 ", " ", "111 ", "1'", "$",
    "1x", "{", "\\", "\\boxed{", "\\boxed{1", "\\frac", "\\frac{1}{2}", "\\text{", "1^", "/", "1/", "1/2 ", "<think>",
    "</think>", "<<", "<<1=1>>1", "Question: ", "\nQ: 1", "\n*", "*", "½", "⁰", "１", "answer", "answer is ", "A:\n",
    "1 million ", "1e5", "1 × 10^6 ", "(x", "1 (x", "? ", "1. how 1?\n", "#### 1. a\n", "a = ", "\u00a0111", "</s>",
    "#### about ", "US$", "<answer>", "<answer>1</answer>", "2x = ", "#### 2x = ", "#### 1 (1 = ",
    "assistantfinal", "a1 x 1 ", "→", "a = 1 → ", "1 is ", "1 and ", "1 a a and ", "–1 ", "，", "1，", "\\sqrt{",
    "1 / ", "\\frac{1.5}{", "~000", "1~", "<|think", "[think", "1 million and ", "1 + a ", "(a + ", " plus ", "2xy",
    "It is 1.\nQ: ", "It is 1.\nQ: 1\n", "If 1, how?\n", "1 \\over ", "\u0301", "#### (1 = (",
]  # fmt: skip


def taken(text: str) -> float:
    """Processor seconds that reading takes."""
    started = time.process_time()
    flexible(text)
    return time.process_time() - started


@pytest.mark.parametrize("part", LONG)
def test_reading_stays_linear(part: str):
    """A model may repeat itself up to its limit of tokens; a careless pattern reads such a text for hours.

    The second text is eight times as long, and may take eight times as long with room for what is fixed; a pattern
    that tries every pair of places would take 64 times as long. Others may slow the machine down, so the shortest of
    two times counts.
    """
    for beginning, end in (("", "\n#### 1"), ("#### ", ""), ("#### 1 ", ""), (r"the answer is \boxed{", "")):
        texts = [beginning + part * (length // len(part)) + end for length in (2_000, 16_000)]
        short, long = (min(taken(text), taken(text)) for text in texts)
        assert long < 24 * short + 0.2


def test_a_million_characters_are_read_in_seconds():
    draw = random.Random(0)
    assert taken("".join(draw.choices(LONG, k=250_000))) < 60


def test_numbers_are_compared_exactly():
    """Floats would call 0.1 + 0.2 another number than 0.3, and lose the last digits of a long one."""
    assert strict("#### 0.3") == Decimal("0.3") == strict("#### 0.30")
    assert strict("#### 12345678901234567890") == Decimal("12345678901234567890")


def labelled_answers() -> list[tuple[str, bool, str]]:
    """Reference, label, and the last line of a solution, of four models to all test questions."""
    text = Path(__file__).with_name("gsm8k_labelled_answers.tsv").read_text()
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return [(reference, cell[0] == "1", cell[2:]) for reference, *cells in rows for cell in cells]


@pytest.mark.parametrize(("read", "mark"), [(flexible, "A: "), (flexible, "#### "), (strict, "#### ")])
def test_labels_of_published_answers(read, mark: str):
    """Behind working that another number ends, as every one of them has it."""
    labelled = labelled_answers()
    assert len(labelled) == 5276 and sum(label for _, label, _ in labelled) == 286 + 515 + 458 + 742
    working = "Each has 4 - 5 = <<4-5=-1>>-1.\n"
    wrong = [
        (reference, label, answer)
        for reference, label, answer in labelled
        if (read(working + (mark + answer if answer else "")) == read(mark + reference)) != label
    ]
    assert not wrong, wrong[:3]
