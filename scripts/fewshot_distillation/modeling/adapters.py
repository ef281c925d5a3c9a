"""Checkpoints that training wrote, ready for inference."""

from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel

from ..data.checkpoints import is_adapter
from .load import load_model, load_weights


def load_checkpoint(model_folder: Path, checkpoint: Path | None, precision: str) -> PreTrainedModel:
    """A model to generate with, frozen and in evaluation mode, on this process's device.

    Args:
        model_folder: the fetched model.
        checkpoint: an adapter, which is merged into the fetched model, or a whole model, which takes its place; which
            of them it is, its files tell. None for the untrained model.
    """
    if checkpoint is None:
        return load_model(model_folder, precision)
    if is_adapter(checkpoint):
        adapted = PeftModel.from_pretrained(load_model(model_folder, precision), str(checkpoint))
        return adapted.merge_and_unload(safe_merge=True).eval()
    return load_weights(checkpoint, precision)
