"""Kinds of answers that a careful person reads at once: the text, what is marked, and what a lenient reader takes."""

from fractions import Fraction

import pytest

from fewshot_distillation.tasks.rules.numbers import flexible, strict

SEPARATORS = {
    "decimal comma": ("#### 2,5", "2.5", "2.5"),
    "two decimals": ("#### 12,34 €", "12.34", "12.34"),
    "decimal comma, leading zero": ("#### 0,125", "0.125", "0.125"),
    "comma before three digits": ("#### 1,234", "1234", "1234"),
    "points and a comma": ("#### 1.234,56", "1234.56", "1234.56"),
    "commas and a point": ("#### 1,234.56", "1234.56", "1234.56"),
    "only points": ("#### 1.234.567", "1234567", "1234567"),
    "one point": ("#### 1.234", "1.234", "1.234"),
    "space": ("#### 1 234 567", "1234567", "1234567"),
    "no-break space": ("#### 70\u00a0000", "70000", "70000"),
    "thin space": ("#### 70\u2009000", "70000", "70000"),
    "narrow no-break space": ("Das macht 70\u202f000,50 Euro.", None, "70000.5"),
    "apostrophe": ("#### 1'234'567", "1234567", "1234567"),
    "typographic apostrophe": ("#### 1’234.50", "1234.5", "1234.5"),
    "underscore": ("#### 1_000", "1000", "1000"),
    "India": ("#### 12,34,567.50", "1234567.5", "1234567.5"),
    "Arabic digits": ("#### ١٬٢٣٤٫٥", "1234.5", "1234.5"),
    "full-width digits": ("#### １８", "18", "18"),
    "list without spaces": ("The three are 1,2,3", None, "3"),
    "two numbers beside each other": ("In 2024 100 were left", None, "100"),
    "version": ("Python 3.11.7", None, None),
    "wrong places": ("#### 1,234,56", None, None),
    "wrong places, zeros": ("#### 1,000,00", None, None),
    "list behind the mark": ("#### 1,2,3", None, "3"),
    "feet and inches": ("#### 5'6\"", None, None),
    "code of a currency": ("#### USD 1,234", "1234", "1234"),
    "whose dollars": ("#### US$1,234.50", "1234.5", "1234.5"),
    "rupees": ("#### Rs. 1,00,000", "100000", "100000"),
    "roubles": ("#### ₽70 000", "70000", "70000"),
    "roughly": ("#### about 18", "18", "18"),
    "ideographic space": ("#### 70\u3000000", "70000", "70000"),
    "left apostrophe": ("#### 10‘000", "10000", "10000"),
    "letter apostrophe": ("#### 10ʼ000", "10000", "10000"),
    "acute accent": ("#### 10´000", "10000", "10000"),
    "full-width comma": ("#### １，２３４", "1234", "1234"),
    "full-width point": ("#### １．５", "1.5", "1.5"),
    "full-width comma of a sentence": ("#### 18，因为 9 + 9 = 18", "18", "18"),
    "reais": ("#### R$ 1.234,50", "1234.5", "1234.5"),
    "hyphen that doesn't break": ("#### ‑5", "-5", "-5"),
    "full-width minus": ("#### －５", "-5", "-5"),
    "full-width mark": ("＃＃＃＃　１８", "18", "18"),
    "invisible": ("#### \u200b1\u200b8", "18", "18"),
    "long dash": ("#### 18 — 2 more than 16", "18", "18"),
}
LATEX = {
    "degrees": (r"\boxed{75^\circ}, not 15", None, "75"),
    "degrees in braces": (r"#### 75^{\circ}", "75", "75"),
    "fraction without braces": (r"#### \frac34", "0.75", "0.75"),
    "one part in braces": (r"\boxed{\dfrac{1}2}", None, "0.5"),
    "other part in braces": (r"\boxed{\tfrac1{12}}", None, "1/12"),
    "negative fraction": (r"\boxed{-\frac{3}{4}}", None, "-0.75"),
    "negative numerator": (r"#### \frac{-3}{4}", "-0.75", "-0.75"),
    "mixed": (r"\boxed{3\tfrac12}", None, "3.5"),
    "thin space between thousands": (r"\boxed{1\,234}", None, "1234"),
    "comma in braces": (r"#### $1{,}234{,}567$", "1234567", "1234567"),
    "percent": (r"\boxed{25\%}", None, "25"),
    "unit in roman": (r"\boxed{18~\mathrm{km}}", None, "18"),
    "everything in text": (r"\boxed{\text{18 dollars}}", None, "18"),
    "bold": (r"\boxed{\textbf{18}} of 20", None, "18"),
    "left and right": (r"#### \left(18\right)", "18", "18"),
    "in display mathematics": ("#### \\[\n\\boxed{18}\n\\]", "18", "18"),
    "two lines": ("The answer is\n$$\\boxed{18}$$\nout of 20.", None, "18"),
    "frame": (r"\fbox{18} of 20", None, "18"),
    "no braces": (r"\boxed 7 of 20", None, "7"),
    "power of ten": (r"\boxed{1.5\times10^{6}}", None, "1500000"),
    "operators": (r"#### 3 \times 6 = 18", "18", "18"),
    "nested": (r"\boxed{\{18\}} of 20", None, "18"),
    "root": (r"\boxed{2\sqrt{3}}", None, None),
    "root behind the mark": (r"With 3 sides\n#### 2\sqrt{3}", None, None),
    "fraction of a variable": (r"With 3 of them \boxed{\frac{x}{4}}", None, None),
    "pi": (r"A circle of 3: \boxed{3\pi}", None, None),
    "repeating decimal": (r"\boxed{0.\overline{3}}", None, None),
    "tie between thousands": (r"\boxed{10~000}", None, "10000"),
    "tie before a unit": (r"\boxed{18~\text{km}}", None, "18"),
    "named space between thousands": (r"\boxed{10\thinspace 000}", None, "10000"),
    "million": (r"\boxed{2.4 \text{ million}}", None, "2400000"),
    "million behind a tie": (r"\boxed{2.4~\text{million}}", None, "2400000"),
    "million behind the box": (r"\boxed{2.4} million", None, "2400000"),
    "million in dollars": (r"#### $2.4 \text{ million}$", "2400000", "2400000"),
    "slanted fraction": (r"\boxed{\sfrac{3}{4}} of 30", None, "0.75"),
    "nice fraction": (r"\boxed{\nicefrac{3}{4}} of 30", None, "0.75"),
    "over": (r"\boxed{3 \over 4} of 30", None, "0.75"),
    "over in braces": (r"\boxed{{3 \over 4}} of 30", None, "0.75"),
    "fraction of decimals": (r"\boxed{\frac{1.5}{2}}", None, "0.75"),
    "fraction by decimals": (r"#### \frac{3}{1.5}", "2", "2"),
    "fraction of thousands": (r"\boxed{\frac{1,000}{3}}", None, "1000/3"),
    "fraction of thousands in braces": (r"\boxed{\frac{1{,}000}{3}}", None, "1000/3"),
    "negative denominator": (r"\boxed{\frac{7}{-2}}", None, "-3.5"),
    "fraction by zero": (r"#### \frac{1.5}{0}", None, None),
    "square root": (r"#### \sqrt{16}", None, None),
    "logarithm": (r"With 2: #### \log{100}", None, None),
    "result of a root": (r"#### \sqrt{81} = 9", "9", "9"),
    "result of a root, boxed": (r"\boxed{\sqrt{81} = 9}", None, "9"),
    "result of a binomial": (r"#### \binom{5}{2} = 10", "10", "10"),
    "result of an equation": (r"\boxed{5 + 13 = 18} in 3 days", None, "18"),
    "result first": (r"\boxed{18 = 9 + 9}", None, "18"),
    "underlined": (r"#### \underline{18}", "18", "18"),
}
MIXED_AND_VULGAR = {
    "mixed": ("#### 3 1/2", "3.5", "3.5"),
    "with and": ("#### 3 and 1/2 hours", "3.5", "3.5"),
    "negative": ("#### -3 1/2", "-3.5", "-3.5"),
    "vulgar": ("#### ½", "0.5", "0.5"),
    "mixed vulgar": ("It takes 3½ hours", None, "3.5"),
    "mixed vulgar with a space": ("#### 2 ¾", "2.75", "2.75"),
    "thirds": ("#### 1⅓", "4/3", "4/3"),
    "fraction slash": ("#### 3⁄4", "0.75", "0.75"),
    "in a sentence": ("She ate 2 2/3 pizzas.", None, "8/3"),
    "whole and a division": ("She shares 3 6/2 times", None, "3"),
    "by zero": ("#### 1/0", None, None),
    "division slash": ("#### 1∕4", "0.25", "0.25"),
    "fraction slash with spaces": ("#### 1 ⁄ 4", "0.25", "0.25"),
    "spaces": ("#### 3 / 8", "0.375", "0.375"),
    "negative with spaces": ("#### -3 / 8", "-0.375", "-0.375"),
    "ampersand": ("#### 2 & 3/4", "2.75", "2.75"),
    "date": ("#### 3 / 4 / 2024", None, "2024"),
    "a day": ("#### $18 / day", "18", "18"),
}
SCIENTIFIC = {
    "e": ("#### 1.5e6", "1500000", "1500000"),
    "capital": ("#### 2E-3", "0.002", "0.002"),
    "cross": ("#### 1.5 × 10^6", "1500000", "1500000"),
    "letter x": ("#### 1.5 x 10^6", "1500000", "1500000"),
    "asterisk": ("It is 6.02*10^23 in all.", None, "602000000000000000000000"),
    "superscript": ("#### 3×10⁸ m/s", "300000000", "300000000"),
    "negative superscript": ("#### 2.5·10⁻²", "0.025", "0.025"),
    "power of ten alone": ("#### 10^3", "1000", "1000"),
    "Python": ("#### 10**6", "1000000", "1000000"),
    "unit with a power": ("#### 18 m²", "18", "18"),
    "another power": ("#### 2^10", None, None),
    "absurd exponent": ("#### 1e999", None, None),
    "dot operator": ("#### 1.5⋅10^6", "1500000", "1500000"),
    "bullet operator": ("#### 1.5 ∙ 10^6", "1500000", "1500000"),
    "capital X": ("#### 1.5X10^6", "1500000", "1500000"),
    "capital apart": ("#### 1.5 E6", "1500000", "1500000"),
    "exponent in parentheses": ("#### 3.2 × 10^(5)", "320000", "320000"),
    "full stop": ("#### 1.5e6.", "1500000", "1500000"),
}
MAGNITUDES = {
    "billion": ("#### -2.4 billion", "-2400000000", "-2400000000"),
    "million dollars": ("So it is $3 million.", None, "3000000"),
    "thousand": ("#### 12 thousand", "12000", "12000"),
    "hundred thousand": ("#### 2 hundred thousand", "200000", "200000"),
    "letter behind a currency": ("#### $5k", "5000", "5000"),
    "capital letter": ("#### $2.4M", "2400000", "2400000"),
    "metres": ("#### 18 m", "18", "18"),
    "kilograms": ("#### 18kg", "18", "18"),
    "hyphen": ("It took a 5-million-dollar loan", None, "5"),
    "plural": ("#### 3 millions", "3000000", "3000000"),
    "German": ("#### 1,5 Millionen Euro", "1500000", "1500000"),
    "milliard": ("Cela fait 2 milliards.", None, "2000000000"),
    "Chinese": ("#### 3万元", "30000", "30000"),
    "two of them": ("#### 4 million and 500 thousand", "4500000", "4500000"),
    "negative": ("#### -2 million 500 thousand", "-2500000", "-2500000"),
    "not together": ("#### 500 thousand and 4 million", "500000", "500000"),
    "Spanish": ("#### 3 millones", "3000000", "3000000"),
    "lakh": ("#### 2 lakh", "200000", "200000"),
    "crore": ("#### 3 crore", "30000000", "30000000"),
    "quadrillion": ("#### 2 quadrillion", "2000000000000000", "2000000000000000"),
    "short": ("#### 3 Mio. Euro", "3000000", "3000000"),
    "short at the end": ("Das sind 3 Mrd.", None, "3000000000"),
}  # fmt: skip
EQUATIONS = {
    "sum": ("#### 5 + 13 = 18", "18", "18"),
    "with words": ("#### 12 eggs * $2 per egg = $24", "24", "24"),
    "with units": ("#### 5 apples + 13 apples = 18 apples", "18", "18"),
    "chain": ("#### 3 * 4 + 6 = 12 + 6 = 18", "18", "18"),
    "result first": ("#### 18 = 9 + 9", "18", "18"),
    "name": ("#### Total cost = $18", "18", "18"),
    "of": ("#### 50% of 36 = 18", "18", "18"),
    "division": ("#### 36/2 = 18", "18", "18"),
    "annotation": ("#### 9*2=<<9*2=18>>18", "18", "18"),
    "fraction as result": ("#### 3 / 4 = 3/4", "0.75", "0.75"),
    "other unit": ("#### 18 minutes = 0.3 hours", "18", "18"),
    "stated": ("The answer is 5 + 13 = 18 for 3 people.", None, "18"),
    "not done": ("#### 5 + 13", None, "13"),
    "power": ("#### 5^2 = 25", "25", "25"),
    "part of a unit": ("#### 1/2 hour = 30 minutes", "0.5", "0.5"),
    "part of a number": ("#### 3/4 of 24 = 18", "18", "18"),
}
ALGEBRA = {
    "sum": ("#### 54 + 2x", None, None),
    "product": ("#### 2x", None, None),
    "variable first": ("So 3 and 4 give\n#### x + 5", None, None),
    "power": ("#### 3n^2 + 1", None, None),
    "equation": ("#### y = 2x + 3", None, None),
    "stated": ("With 3 days the answer is 54 + 2x.", None, None),
    "boxed": (r"With 3 days: \boxed{54 + 2x}", None, None),
    "brackets": ("#### 2(x + 3)", None, None),
    "solved": ("#### x = 18", "18", "18"),
    "not solved": ("#### 2x + 3 = 11", None, None),
    "solved behind it": ("#### 2x = 10, so x = 5", "5", "5"),
    "solved step by step": ("#### 2x + 3 = 13 means x = 5", "5", "5"),
    "solved after it": ("54 + 2x = 90\n2x = 36\nx = 18", None, "18"),
    "times": ("#### 3 x 6 = 18", "18", "18"),
    "times as a unit": ("#### 18 apples, x of them green", "18", "18"),
}
# The number is both what is marked and what a lenient reader takes.
RESULTS = {
    "#### 20 – 2 = 18": 18, "#### 3 ⋅ 6 = 18": 18, "#### 3 ✕ 6 = 18": 18, "#### 3 • 6 = 18": 18, "#### 3(6) = 18": 18,
    "#### 3 multiplied by 6 = 18": 18, "#### 7 times 8 is 56": 56, "#### 7 times 8 equals 56": 56,
    "#### 20% of 90 is 18": 18, "#### 5 apples and 6 pears = 11 fruits": 11, "#### 5 + 13 ≈ 18": 18,
    "#### 5 + 13 → 18": 18, "#### 5 + 13 => 18": 18, "#### 5 + 13 -> 18": 18, "#### 5 + 13 ⇒ 18": 18,
    "#### 5 + 13 is 18": 18, "#### 5 + 13 is equal to 18": 18, "#### 5 + 13 equals 18": 18, "#### 5 + 13 makes 18": 18,
    r"#### 5 + 13 \approx 18": 18, r"#### 5 + 13 \implies 18": 18, "#### Total → 18": 18, "#### 18 is 5 + 13": 18,
    "#### 3x = 21 → x = 7": 7, "#### x is 18": 18, "#### 18 (x = 18)": 18, "#### 12 * x = 36 gives x = 3": 3,
    r"#### x = \sqrt{81} = 9": 9,
    # Units, articles and mentions are no unknowns.
    "#### 18 m": 18, "#### 18 g": 18, "#### 18 m/s": 18, "#### 18 km/h": 18, "#### 18 a day": 18, "#### 18 L": 18,
    "#### 5 m + 13 m = 18 m": 18, "#### 5 x 3 = 15": 15, "#### 5 x $3 = $15": 15, "#### 20 - a third of it": 20,
    "#### 18 (where x is 3)": 18,
}  # fmt: skip
NO_NUMBER = [
    r"\boxed{2x + 54}", r"\boxed{x+5}", r"\boxed{3n^2+1}", r"\boxed{y=2x+3}", r"\boxed{2(x+3)}",
    r"\boxed{\frac{x}{2} + 5}", "#### 2x + 54 dollars", "The answer is 2x + 54 dollars.", "#### 20 - a",
    "#### 4(a + b)", "#### 2xy + 3", "#### 54 plus 2x", "#### 3 times x", "#### 1/2 x", "#### 3b + 5", "#### 7 - 2x",
    "#### Total = 2x + 54", "#### 5 divided by x", "#### 50% of x", "#### (x + 3) / 2", "#### x/2", "#### 5 + 3c",
    "The answer is x + 5 apples, with 3 left.",
]  # fmt: skip
KINDS = {
    "separators": SEPARATORS, "LaTeX": LATEX, "mixed and vulgar": MIXED_AND_VULGAR, "scientific": SCIENTIFIC,
    "magnitudes": MAGNITUDES, "equations": EQUATIONS, "algebra": ALGEBRA,
}  # fmt: skip
CASES = {f"{kind}: {name}": case for kind, cases in KINDS.items() for name, case in cases.items()}


def number(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


@pytest.mark.parametrize(("text", "marked", "lenient"), CASES.values(), ids=CASES)
def test_kind(text: str, marked: str | None, lenient: str | None):
    assert (strict(text), flexible(text)) == (number(marked), number(lenient))


@pytest.mark.parametrize(("text", "result"), RESULTS.items())
def test_result(text: str, result: int):
    assert strict(text) == flexible(text) == result


@pytest.mark.parametrize("text", NO_NUMBER)
def test_algebra_has_no_number(text: str):
    assert strict(text) is flexible(text) is None
