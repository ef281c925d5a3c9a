"""Adapters that training wrote, merged for inference."""

from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel


def merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with an adapter merged into its weights."""
    return PeftModel.from_pretrained(model, str(folder)).merge_and_unload(safe_merge=True).eval()
