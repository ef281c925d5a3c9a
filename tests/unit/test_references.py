"""What a reference says, which ones are refused, and the canonical form of a number."""

from fractions import Fraction

import pytest

from fewshot_distillation.tasks import task_of
from fewshot_distillation.tasks.references import canonical

READ = {
    "plain": ("one\n#### 18", "18"),
    "thousands": ("#### 70,000", "70000"),
    "millions": ("#### 1,234,567", "1234567"),
    "Indian thousands": ("#### 1,23,456", "123456"),
    "thousands and decimals": ("#### 1,234.50", "1234.5"),
    "spaces between thousands": ("#### 70 000", "70000"),
    "narrow no-break spaces": ("#### 1\u202f234\u202f567", "1234567"),
    "apostrophes": ("#### 1'234", "1234"),
    "negative": ("#### -3", "-3"),
    "unicode minus": ("#### −3", "-3"),
    "plus": ("#### +7", "7"),
    "dollar": ("#### $1,234.50", "1234.5"),
    "currency behind": ("#### 18 €", "18"),
    "negative dollars": ("#### -$5", "-5"),
    "dollars, negative": ("#### $-5", "-5"),
    "full stop": ("#### 18.", "18"),
    "full stop after decimals": ("#### 2.50.", "2.5"),
    "decimals": ("#### 2.5", "2.5"),
    "decimals that say nothing": ("#### 18.00", "18"),
    "no leading zero": ("#### .5", "0.5"),
    "leading zeros": ("#### 007", "7"),
    "fraction": ("#### 3/4", "0.75"),
    "fraction without end": ("#### 1/3", "1/3"),
    "negative fraction": ("#### -2/6", "-1/3"),
    "fraction with spaces": ("#### 3 / 4", "0.75"),
    "vulgar fraction": ("#### ½", "0.5"),
    "thirds": ("#### ⅔", "2/3"),
    "negative vulgar fraction": ("#### -¼", "-0.25"),
    "mixed vulgar fraction": ("#### 3½", "3.5"),
    "mixed vulgar fraction with a space": ("#### $1 ⅛.", "1.125"),
    "mixed number": ("#### 3 1/2", "3.5"),
    "negative mixed number": ("#### -3 1/2", "-3.5"),
    "power of ten": ("#### 1.5e6", "1500000"),
    "spaces at the end": ("#### 18 \n", "18"),
    "no space": ("####18", "18"),
    "number on the next line": ("####\n18", "18"),
    "the last of two": ("#### 5\n#### 6", "6"),
    "long": ("#### 12345678901234567890.1234567890123456789", "12345678901234567890.1234567890123456789"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "value"), READ.values(), ids=READ)
def test_reference(answer: str, value: str):
    assert task_of("gsm8k").reference({"answer": answer}) == value


TWO_WAYS = {
    "one digit": ("#### 2,5", "'2,5' can be read in two ways, as 25 or as 2.5"),
    "two digits": ("#### 12,34", "'12,34' can be read in two ways, as 1234 or as 12.34"),
    "four digits": ("#### 1,2345", "as 12345 or as 1.2345"),
    "leading zero": ("#### 0,500", "as 0500 or as 0.500"),
    "four before": ("#### 1234,567", "as 1234567 or as 1234.567"),
    "with currency": ("#### $2,5", "'2,5' can be read in two ways"),
    "negative": ("#### -12,34.", "'12,34' can be read in two ways"),
    "no whole part": ("#### ,5", "as 5 or as 0.5"),
}


@pytest.mark.parametrize(("answer", "problem"), TWO_WAYS.values(), ids=TWO_WAYS)
def test_a_reference_that_can_be_read_in_two_ways(answer: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        task_of("gsm8k").reference({"answer": answer})


NOT_READ = [
    "18", "#### eighteen", "#### 18 apples", "#### 18\nreally", "####", "### 18", "#### None", "#### 1/0", "#### 25%",
    "#### --5", "#### 1.234,56", "#### 10-12", "#### 2:30", "#### 5 + 6", "#### 1e999", "#### " + "9" * 2000,
    "#### 1 2", "#### 3½4", "#### ½½", "#### 3 / 0", "#### 12,34,5", "#### 3/4/5", "#### 1..5", "#### 5 #### six",
]  # fmt: skip


@pytest.mark.parametrize("answer", NOT_READ, ids=lambda text: text[:20])
def test_a_reference_without_a_final_number_is_an_error(answer: str):
    with pytest.raises(ValueError, match="doesn't end in '#### <number>'"):
        task_of("gsm8k").reference({"answer": answer})


CANONICAL = {"18": "18", "-3": "-3", "5/2": "2.5", "-1/8": "-0.125", "1/3": "1/3", "10/4": "2.5", "1/250": "0.004"}


@pytest.mark.parametrize(("number", "text"), CANONICAL.items())
def test_canonical_form(number: str, text: str):
    assert canonical(Fraction(number)) == text and Fraction(text) == Fraction(number)


def test_the_canonical_form_of_long_decimals_is_exact():
    assert canonical(Fraction(1, 2**60)) == f"{2**-60:.60f}"
    assert Fraction(canonical(Fraction(-(10**50) - 1, 5**40))) == Fraction(-(10**50) - 1, 5**40)
