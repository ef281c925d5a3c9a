"""Rules of others, so that accuracies can be compared: each on texts whose outcome its own code decides.

The expected values follow from the expressions in lm-evaluation-harness's gsm8k.yaml (version 3.0) and in the published
study's eval_checkpoints.py, worked out by hand.
"""

import time

import pytest

from fewshot_distillation.tasks import task_of

SCORERS = task_of("gsm8k").scorers

# Text, the reference solution, and for each rule what it reads and whether that is right.
CASES = {
    "plain": ("#### 18", "#### 18", ("18", True), ("18", True), ("18", True)),
    "no mark": ("The answer is 18.", "#### 18", ("18", True), (None, False), ("18.", True)),
    "dollar": ("#### $18", "#### 18", ("18", True), (None, False), ("$18", True)),
    "full stop": ("#### 18.", "#### 18", ("18", True), ("18.", True), ("18.", True)),
    "decimals that say nothing": ("#### 18.0", "#### 18", ("18", True), ("18.0", False), ("18.0", False)),
    "decimals": ("#### 18.5", "#### 18", ("18", True), ("18.5", False), ("18.5", False)),
    "thousands": ("#### 70,000", "#### 70,000", ("70000", True), ("70,000", True), ("70,000", True)),
    "thousands without a mark": ("It is 70,000", "#### 70,000", ("000", False), (None, False), ("70,000", True)),
    "one side with commas": ("#### 70000", "#### 70,000", ("70000", True), ("70000", True), ("70000", True)),
    "negative": ("#### -3", "#### -3", ("3", False), ("-3", True), ("-3", True)),
    "sign lost": ("It is -3", "#### 3", ("3", True), (None, False), ("-3", False)),
    "two marks": ("#### 18\n#### 20", "#### 18", ("18", True), ("18", True), ("20", False)),
    "text after the number": ("#### 18\nas 5 are left", "#### 18", ("18", True), ("18", True), ("5", False)),
    "no space": ("####18", "#### 18", ("18", True), (None, False), ("18", True)),
    "two spaces": ("####  18", "#### 18", ("18", True), (None, False), ("18", True)),
    "unit": ("#### 18 apples", "#### 18", ("18", True), ("18", True), ("18", True)),
    "three dots at the end": ("It is 18...", "#### 18", ("18", True), (None, False), ("18...", False)),
    "dots apart": ("It is 18 ...", "#### 18", ("18", True), (None, False), ("...", False)),
    "one digit": ("It is 8!", "#### 8", ("8", True), (None, False), ("8", True)),
    "digits in a word": ("It is x18", "#### 18", (None, False), (None, False), ("18", True)),
    "mark before a word": ("#### eggs: 18", "#### 18", ("18", True), (None, False), ("18", True)),
    "only commas": ("#### ,", "#### 18", ("", False), (",", False), (None, False)),
    "nothing": ("", "#### 18", (None, False), (None, False), (None, False)),
    "steps in the reference": ("#### 5", "2+3 = <<2+3=5>>5\n#### 5", ("5", True), ("5", True), ("5", True)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "place"), [("study_code", 2), ("lm_eval_strict", 3), ("lm_eval_flexible", 4)])
def test_rule(case: str, name: str, place: int):
    text, solution = CASES[case][:2]
    rule = SCORERS[name].rule()
    found = rule.read(text)
    row = {"question": "", "answer": solution, "reference": task_of("gsm8k").reference({"answer": solution})}
    assert (found, found is not None and rule.equal(found, row)) == CASES[case][place]


@pytest.mark.parametrize("part", ["1", "#### ", "$", "1,", "-", ".", "#"])
def test_reading_stays_linear(part: str):
    started = time.process_time()
    for name in ("study_code", "lm_eval_strict", "lm_eval_flexible"):
        SCORERS[name].rule().read(part * (1_000_000 // len(part)))
    assert time.process_time() - started < 5
