"""Kinds of answers that a careful person reads at once: the text, what is marked, and what a lenient reader takes."""

from fractions import Fraction

import pytest

from fewshot_distillation.tasks.rules.numbers import flexible, strict

SEVERAL_MARKS = {
    "work between them": ("She has 5*7 = #### 35 eggs.\n35*2 = #### 70", "70", "70"),
    "three": ("#### 4\n4 + 4 = 8\n#### 8\n8 * 2 = 16\n#### 16", "16", "16"),
    "steps in sentences": ("Eggs: #### 35\nSold for 2 dollars each.\n#### 70", "70", "70"),
    "corrected": ("#### 18\nWait, 2 were broken.\n#### 16", "16", "16"),
    "repeated": ("#### 18\n#### 18", "18", "18"),
    "no work between them": ("#### 18 #### 20", "18", "18"),
    "numbered steps": ("#### 1. Count\n9 + 9 = 18\n#### 2. Sell\n18 * 2 = 36\n#### 36", "36", "36"),
    "numbered steps alone": ("#### 1. Count\nNine.\n#### 2. Sell\nIt is 18.", None, "18"),
    "second without a number": ("#### 18\n9 + 9 is right\n#### Done", "18", "18"),
}
THINKING = {
    "mark in it": ("<think>It looks like #### 5 so far</think>\n#### 36", "36", "36"),
    "opened by the template": ("so #### 5 or #### 6\n</think>\n\n#### 36", "36", "36"),
    "another tag": ("<thinking>#### 5</thinking>It is 36.", None, "36"),
    "in brackets": ("[THINK]#### 5[/THINK]#### 36", "36", "36"),
    "twice": ("<think>5</think>Hm.<think>#### 6</think>#### 36", "36", "36"),
    "cut off": ("<think>First 5 + 6 = 11, so #### 11", None, None),
    "answer, then cut off": ("#### 36\n<think>or #### 5", "36", "36"),
    "box in it": (r"<reasoning>\boxed{5}</reasoning> The answer is 36.", None, "36"),
    "nothing behind it": ("<think>#### 5</think>", None, None),
    "triangles": ("◁think▷#### 5◁/think▷#### 36", "36", "36"),
    "between special tokens": ("<|begin_of_thought|>#### 5<|end_of_thought|>\n#### 36", "36", "36"),
    "in a channel": (
        "<|channel|>analysis<|message|>#### 5<|end|><|start|>assistant<|channel|>final<|message|>#### 36",
        "36",
        "36",
    ),
    "in a channel without its marks": ("analysisSo it is #### 5?assistantfinal6 * 6 = 36\n#### 36", "36", "36"),
    "in a channel, cut off": ("<|channel|>analysis<|message|>So it is #### 5", None, None),
    "the answer in tags": ("<think>#### 5</think><answer>36</answer> of 40", None, "36"),
}
RUN_ON = {
    "Q": ("The answer is 11.\n\nQ: Tom has 3. How many? The answer is 6.", None, "11"),
    "mark behind it": ("The answer is 11.\n\nQuestion: 3 + 3?\n#### 6", None, "11"),
    "mark before it": ("#### 11\n\nQ: 3 + 3?\nA: 3 + 3 = 6\n#### 6", "11", "11"),
    "Problem with a number": ("#### 11\n\nProblem 2: 3 + 3?\n#### 6", "11", "11"),
    "bold heading": ("It is 11.\n\n**Question:** 3 + 3?\nIt is 6.", None, "11"),
    "Markdown heading": ("#### 11\n\n### Question 2\nWhat is 3 + 3?\n3 + 3\n#### 6", "11", "11"),
    "next question": ("#### 11\nNext question: 3 + 3?\n#### 6", "11", "11"),
    "Human": ("#### 11\nHuman: 3 + 3?\nAssistant: 6\n#### 6", "11", "11"),
    "user turn without its marks": ("#### 11\nuser\nWhat is 3 + 3?\nassistant\n3 + 3\n#### 6", "11", "11"),
    "instruction": ("It is 11.\n\n### Instruction:\nAdd 3 and 3.\n\n### Response:\n6", None, "11"),
    "end of turn as text": ("It is 11.<|im_end|>\n<|im_start|>user\n3 + 3?", None, "11"),
    "end of text as text": ("It is 11</s> 6 6 6", None, "11"),
    "Llama's instruction": ("It is 11.\n[INST] 3 + 3? [/INST] 6", None, "11"),
    "no heading": ("#### 11\nTom has 3 apples and buys 3. How many has he?\n3 + 3 = 6\n#### 6", "11", "11"),
    "no heading, no mark": (
        "The answer is 11.\n\nTom has 3. What are 2 times as many? The answer is 6.",
        None,
        "11",
    ),
    "the question first": ("Question: Tom has 3 and 8.\nAnswer: 3 + 8 = 11\n#### 11", "11", "11"),
    "a question of its own": (
        "How many are left? 16 - 5 = 11.\nHow much is that? 11 * 2 = 22.\n#### 22",
        "22",
        "22",
    ),
    "checked": ("#### 11\nWait. I had 3 and 8. What is 3 + 9? It is 12.\n#### 12", "12", "12"),
    "German": ("Das sind 11.\n\nFrage: 3 + 3?\nDas sind 6.", None, "11"),
    "Chinese": ("答案是11。\n问题：3 + 3？\n答案是6。", None, "11"),
}
SENTENCE_BEHIND = {
    "and another mark": ("#### 11. Good luck!\n\n#### 6", "11", "11"),
    "in the same line": ("#### 11. I hope this helps.", "11", "11"),
    "in the next line": ("#### 11\nI hope this helps!\n#### 6", "11", "11"),
    "with numbers": ("#### 11 (since 16 - 5 = 11, and 2 of 3 were sold)", "11", "11"),
    "with another equation": ("#### 11. Check: 16 - 4 = 12 is wrong.", "11", "11"),
    "equation in brackets": ("#### 11 dollars (16 - 5 = 11 eggs, 2 left)", "11", "11"),
    "sum in brackets": ("#### 7 children (3 + 4 = 7)", "7", "7"),
    "result in brackets": ("#### (3 + 8 = 11)", "11", "11"),
    "because": ("#### 11 because 5 + 7 = 12 and one is lost", "11", "11"),
}
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
    "wrong places": ("#### 1,234,56", None, "56"),
    "list behind the mark": ("#### 1,2,3", None, "3"),
    "feet and inches": ("#### 5'6\"", None, "6"),
    "code of a currency": ("#### USD 1,234", "1234", "1234"),
    "whose dollars": ("#### US$1,234.50", "1234.5", "1234.5"),
    "rupees": ("#### Rs. 1,00,000", "100000", "100000"),
    "roubles": ("#### ₽70 000", "70000", "70000"),
    "roughly": ("#### about 18", "18", "18"),
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
    "pi": (r"A circle of 3: \boxed{3\pi}", None, None),
    "repeating decimal": (r"\boxed{0.\overline{3}}", None, None),
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
KINDS = {
    "several marks": SEVERAL_MARKS, "thinking": THINKING, "run-on": RUN_ON, "sentence behind": SENTENCE_BEHIND,
    "separators": SEPARATORS, "LaTeX": LATEX, "mixed and vulgar": MIXED_AND_VULGAR, "scientific": SCIENTIFIC,
    "magnitudes": MAGNITUDES, "equations": EQUATIONS, "algebra": ALGEBRA,
}  # fmt: skip
CASES = {f"{kind}: {name}": case for kind, cases in KINDS.items() for name, case in cases.items()}


def number(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


@pytest.mark.parametrize(("text", "marked", "lenient"), CASES.values(), ids=CASES)
def test_kind(text: str, marked: str | None, lenient: str | None):
    assert (strict(text), flexible(text)) == (number(marked), number(lenient))
