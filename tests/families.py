"""Tiny random models of other families, each with a tokenizer and a chat template of its family's shape."""

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from fewshot_distillation.data.word_problems import word_problems

LLAMA_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
GEMMA_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {{- raise_exception('System role not supported') }}
    {%- endif %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- set role = 'model' if message.role == 'assistant' else message.role %}
    {{- '<start_of_turn>' + role + '\\n' + message.content | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\\n' }}
{%- endif %}
"""
# The question's turn ends with what asks for the answer, before which stands a space.
MISTRAL_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- '[INST] ' + message.content + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message.content + eos_token }}
    {%- endif %}
{%- endfor %}
"""
# Smaller than any prompt, so that the layers with this window don't see all of it.
WINDOW = 16
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "initializer_range": 0.3,
}
LAYERS = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "sliding_window": WINDOW}


def _texts() -> list[str]:
    return [row["question"] + "\n" + row["answer"] for row in word_problems(200, 1, seed=7)["train"]]


def _with_bos(tokenizer: Tokenizer, bos: str) -> None:
    """Text that is tokenised by itself begins with <bos>."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )


def llama_tokenizer(chat: bool = True) -> PreTrainedTokenizerFast:
    """Bytes, as Llama 3 has them."""
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    _with_bos(tokenizer, special[0])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[4 if chat else 1], pad_token=special[1]
    )
    fast.chat_template = LLAMA_TEMPLATE if chat else None
    return fast


def gemma_tokenizer(template: str = GEMMA_TEMPLATE) -> PreTrainedTokenizerFast:
    """Characters with `▁` for spaces, as SentencePiece has them, and bytes for the characters it doesn't know."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    alphabet = [chr(code) for code in range(33, 127)] + ["▁", "\n"]
    bytes_ = [f"<0x{n:02X}>" for n in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special + bytes_, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # or tokens would span words
    tokenizer.train_from_iterator(_texts(), trainer)
    _with_bos(tokenizer, "<bos>")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )
    fast.chat_template = template
    return fast


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"vocab_size": len(tokenizer), **{name: getattr(tokenizer, name) for name in names}}


def _llama(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SIZES, **_ids(tokenizer), tie_word_embeddings=False))


def _gemma2(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """It also caps its attention scores."""
    caps = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0, "query_pre_attn_scalar": 8}
    return Gemma2ForCausalLM(Gemma2Config(**SIZES, **LAYERS, **caps, **_ids(tokenizer)))


def _gemma3(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    caps = {"final_logit_softcapping": 5.0, "query_pre_attn_scalar": 8}
    return Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, **LAYERS, **caps, **_ids(tokenizer)))


def _mistral(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return MistralForCausalLM(MistralConfig(**SIZES, **_ids(tokenizer), sliding_window=WINDOW))


Family = tuple[Callable[[PreTrainedTokenizerFast], PreTrainedModel], Callable[[], PreTrainedTokenizerFast]]
FAMILIES: dict[str, Family] = {
    "llama": (_llama, llama_tokenizer),
    "llama base": (_llama, lambda: llama_tokenizer(chat=False)),
    "gemma2": (_gemma2, gemma_tokenizer),
    "gemma3": (_gemma3, gemma_tokenizer),
    "mistral": (_mistral, lambda: gemma_tokenizer(MISTRAL_TEMPLATE)),
}


def make_family(family: str, folder: Path) -> Path:
    """A random model as a folder in the Hugging Face layout; its norms differ from fresh ones, which change nothing."""
    build, make = FAMILIES[family]
    tokenizer = make()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(tokenizer)
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.data += 0.3 * torch.randn_like(parameter)
            if "post_" in name and family.startswith("gemma"):
                parameter.data += 3  # or the tied embedding of the last token would outweigh what the layers add
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
