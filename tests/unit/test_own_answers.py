"""Which part of a text gives its answer: not what was thought before, and no further question."""

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
    "work behind the mark": ("#### 5*7 = 35\n#### 35*2 = 70", "70", "70"),
    "work behind the mark, apart": ("#### 3 + 4 = 7\n\n#### 7 * 2 = 14", "14", "14"),
    "work on both sides": ("5 x 7 = #### 35 eggs a week.\n#### 35 x 2 = 70", "70", "70"),
    "steps behind the mark": ("#### Step 1: 5*7=35\n#### Step 2: 35*2=70\n#### Answer: 70", "70", "70"),
    "work in words": ("#### 5 times 7 is 35\n#### 35 times 2 is 70", "70", "70"),
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
    "with a name before it": ("<seed:think>#### 5</seed:think>#### 36", "36", "36"),
    "space in the tag": ("<think >#### 5</think >#### 36", "36", "36"),
    "lower case in brackets": ("[thinking]#### 5[/thinking]#### 36", "36", "36"),
    "special tokens, the other way round": ("<|thinking_start|>#### 5<|thinking_end|>#### 36", "36", "36"),
    "inner": ("<inner_thoughts>#### 5</inner_thoughts>#### 36", "36", "36"),
    "special tokens with a slash": ("<|thought|>#### 5<|/thought|>#### 36", "36", "36"),
    "a word in brackets": ("[analysis] 6 * 6\n#### 36", "36", "36"),
}
RUN_ON = {
    "Q": ("The answer is 11.\n\nQ: Tom has 3. How many? The answer is 6.", None, "11"),
    "mark behind it": ("The answer is 11.\n\nQuestion: 3 + 3?\n#### 6", None, "11"),
    "mark before it": ("#### 11\n\nQ: 3 + 3?\nA: 3 + 3 = 6\n#### 6", "11", "11"),
    "Problem with a number": ("#### 11\n\nProblem 2: 3 + 3?\n#### 6", "11", "11"),
    "bold heading": ("It is 11.\n\n**Question:** 3 + 3?\nIt is 6.", None, "11"),
    "Markdown heading": ("#### 11\n\n### Question 2\nWhat is 3 + 3?\n3 + 3\n#### 6", "11", "11"),
    "next question": ("#### 11\nNext question: 3 + 3?\n#### 6", "11", "11"),
    "task": ("#### 11\n\nTask: add 3 and 3\n#### 6", "11", "11"),
    "numbered example": ("#### 11\n\nExample 2:\nTom has 3 and 3.\n#### 6", "11", "11"),
    "an example within": ("Take 5 of 16.\nExample: 16 - 5 = 11\n#### 11", "11", "11"),
    "asked to solve": ("#### 11\nSolve the following: 3 + 3\n#### 6", "11", "11"),
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
    "given facts": (
        "Given: 5 apples, 2 eaten.\nQuestion: How many are left?\nAnswer: 5 - 2 = 3\n#### 3",
        "3",
        "3",
    ),
    # Not told apart from set-up such as `We need 2 steps.`, which is rarer than a model that goes on.
    "a result in a sentence": (
        "She earns $18 per day.\n\nQuestion: Tom has 5 and buys 6. How many?\nAnswer: 5+6=11\n#### 11",
        None,
        "18",
    ),
    "a result alone": ("$18\n\nQuestion: 5 and 6?\nAnswer: 5+6=11\n#### 11", None, "18"),
    "the next one takes up the number": ("9 * 2 = 18\n\nQuestion: A shirt costs $18.\nAnswer: 36\n#### 36", None, "18"),
    "a boxed answer to the next": ("She gets 18 dollars\n\nProblem 2:\nTom\n\\boxed{11}", None, "18"),
    "a heading within the work": ("First, 3*5 = 15.\n\nThe last question:\n20 - 15 = 5", None, "5"),
    "headings in a list": ("1. Eggs: 16-7 = 9\n2. Question: 9*2 = 18", None, "18"),
    "a fact that is used": ("There are 7 days.\nQuestion: How many in 2 weeks?\n7*2 = 14\n#### 14", "14", "14"),
    "tasks of its own": ("Total is 5+6 = 11.\nTask 2: 11*2=22\n#### 22", "22", "22"),
    "a result that isn't used": ("It is 11.\n\nQuestion: 3 + 3?\n#### 6", None, "11"),
    "a conclusion that isn't used": ("So she spends $11.\n\nQuestion: 3 + 3?\n#### 6", None, "11"),
    "one sentence": ("#### 11\n\nIf Tom has 5 apples and buys 1, how many does he have?\n#### 6", "11", "11"),
    "one sentence, the next step": (
        "#### 35\nIf each sells for 2 dollars, how much do they earn?\n35*2 = 70\n#### 70",
        "70",
        "70",
    ),
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
# Behind all of them is a question with its answer.
HEADINGS = [
    "Bonus question:", "Extra problem:", "Similar problem:", "Second question:", "Question No. 2:", "Question two:",
    "[Question]", "- Question:", "1. Question:", "<question>", "Exercise 2.3", "Here is another question:",
    "Here's a similar problem:", "**Problem 3.**", "* Task #4:", "• Another task:", "Pergunta:", "Вопрос:", "質問:",
    "質問：", "【問題】", "Question：", "Ejercicio 2:", "Problème 2 :", "Question number 2:", "### Practice Problem 4",
]  # fmt: skip
KINDS = {"several marks": SEVERAL_MARKS, "thinking": THINKING, "run-on": RUN_ON, "sentence behind": SENTENCE_BEHIND}
CASES = {f"{kind}: {name}": case for kind, cases in KINDS.items() for name, case in cases.items()}


def number(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


@pytest.mark.parametrize(("text", "marked", "lenient"), CASES.values(), ids=CASES)
def test_own_answer(text: str, marked: str | None, lenient: str | None):
    assert (strict(text), flexible(text)) == (number(marked), number(lenient))


@pytest.mark.parametrize("heading", HEADINGS)
def test_another_question_under_a_heading(heading: str):
    behind = f"\n\n{heading}\nFoo has 5, what is one more?\n"
    assert flexible("The answer is 11." + behind + "The answer is 6.") == 11
    assert strict("#### 11" + behind + "#### 6") == 11
