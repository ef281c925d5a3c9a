"""Prompt builders with chat templates that a test writes itself."""

from fewshot_distillation.config.wording import Wording
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.word_problems import word_problems
from tiny import make_tokenizer

ROWS = word_problems(4, 1, seed=2)["train"]
QUESTION = "Ann has 3 coins. How many coins does Ann have?"
CHATML = "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}"
ASKING = "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"


def tokenizer_with(template: str, *marks: str, eos: str | None = None):
    """The tiny tokenizer with another chat template, and further special tokens."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(marks)})
    if eos:
        tokenizer.eos_token = eos
    tokenizer.chat_template = template
    return tokenizer


def builder(template: str, *marks: str, arguments: dict | None = None, eos: str | None = None, **wording):
    return PromptBuilder(tokenizer_with(template, *marks, eos=eos), arguments, Wording(**wording))


def text_of(one: PromptBuilder, rows: list[dict] = ()) -> str:
    return one.tokenizer.decode(one.build(QUESTION, rows).ids)
