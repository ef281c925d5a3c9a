"""What a person would read as the answer, and what a reference answer says."""

from decimal import Decimal

import pytest

from fewshot_distillation.data.gold import gold
from fewshot_distillation.evaluation.answers import flexible, strict

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


def test_numbers_are_compared_exactly():
    """Floats would call 0.1 + 0.2 another number than 0.3, and lose the last digits of a long one."""
    assert strict("#### 0.3") == Decimal("0.3") == strict("#### 0.30")
    assert strict("#### 12345678901234567890") == Decimal("12345678901234567890")


GOLD = {
    "plain": ("one\n#### 18", "18"),
    "thousands": ("#### 70,000", "70000"),
    "negative": ("#### -3", "-3"),
    "unicode minus": ("#### −3", "-3"),
    "dollar": ("#### $1,234.50", "1234.50"),
    "negative dollars": ("#### -$5", "-5"),
    "full stop": ("#### 18.", "18"),
    "spaces at the end": ("#### 18 \n", "18"),
    "no space": ("####18", "18"),
    "the last of two": ("#### 5\n#### 6", "6"),
}


@pytest.mark.parametrize(("answer", "value"), GOLD.values(), ids=GOLD)
def test_gold(answer: str, value: str):
    assert gold(answer) == Decimal(value)


@pytest.mark.parametrize("answer", ["18", "#### eighteen", "#### 18 apples", "#### 18\nreally", "####", "### 18"])
def test_a_reference_without_a_final_number_is_an_error(answer: str):
    with pytest.raises(ValueError, match="doesn't end in '#### <number>'"):
        gold(answer)
