"""The model card's example, for models with and without a chat template."""

import ast
import re
from pathlib import Path

import pandas as pd
import pytest

from fewshot_distillation.config.deliverables import CHOSEN, export_spec
from fewshot_distillation.export.card import card
from fewshot_distillation.export.choose import LAST, Choice, Result
from tiny import study

QUOTES = "Say \"yes\" & 'no': {question}"


def example(plain_prompt: str | None = None, **changes) -> str:
    """The code of a card; it can be read as Python."""
    spec = export_spec(study(**changes), "tiny", CHOSEN)
    choice = Choice(spec.candidates[0], Path("run"), 6, None, LAST)
    found = [Result("C", 6, 1, 2, 0.5, 0.1, 0.9, pd.Series([True, False]))]
    made = {"dtype": "float32", "command": "x", "commit": None, "versions": {}, "plain_prompt": plain_prompt}
    text = card(spec, choice, found, "merged", {"revision": None}, made)
    code = re.search(r"```python\n(.*?)```", text, re.S)[1]
    ast.parse(code)
    return code


def strings(code: str) -> list[str]:
    return [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]


def test_a_model_with_a_chat_template_is_asked_through_it():
    code = example()
    assert "apply_chat_template" in code and "enable_thinking=False" in code and "A question" in strings(code)


@pytest.mark.parametrize("system", [None, 'Be "brief".'])
def test_the_example_says_what_the_study_said(system: str | None):
    found = strings(example(prompt={"question": QUOTES, "system": system}))
    assert QUOTES.format(question="A question") in found and (system is None or system in found)


def test_a_model_without_one_is_asked_in_plain_text():
    code = example("Question: A question\nAnswer:")
    assert "chat_template" not in code and "Question: A question\nAnswer:" in strings(code)
    assert code.count("\n") == 4
