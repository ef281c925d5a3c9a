"""The student: the model with a LoRA adapter or with all weights trained, and its losses over a micro batch."""

import importlib
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..config.catalogue import Condition, Lora
from ..config.specs import TrainSpec
from ..modeling.hidden_states import Capture, decoder_of, logits_of
from ..modeling.load import load_model
from ..runtime.errors import JobError


def loss_function(condition: Condition) -> Callable[..., Tensor] | None:
    """`loss` of the file in `losses` that the condition names."""
    if condition.target == "none":
        return None
    return importlib.import_module(f"{__package__}.losses.{condition.loss}").loss


def add_lora(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """The model with a fresh adapter; its float32 initial weights are decided by the seed."""
    known = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    unknown = [name for name in lora.target_modules if name not in known]
    if unknown:
        raise JobError(f"lora.target_modules: the model has no linear module {unknown[0]!r}; it has {sorted(known)}")
    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=sorted(lora.target_modules),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def model_to_train(
    spec: TrainSpec, folder: Path, home: torch.device, gradient_checkpointing: bool = False
) -> PreTrainedModel | PeftModel:
    """The model; what is trained of it requires a gradient.

    What is trained is float32 in any case, and autocast brings it to the precision of the layers. A bfloat16 weight has
    8 significant bits: a step of less than 1/512 of it, which is what learning rates of fine-tuning give, is lost to
    rounding.

    Args:
        home: the device on which the weights lie.

    Raises:
        JobError: the model lacks a module that `lora` names, or has no gradient checkpointing.
    """
    base = load_model(folder, spec.precision if spec.lora else "fp32", home)
    model = add_lora(base, spec.lora, spec.seed) if spec.lora else base.requires_grad_(True)
    if gradient_checkpointing:
        if not base.supports_gradient_checkpointing:
            where = f"models.{spec.model.name}.gradient_checkpointing"
            raise JobError(f"{where}: {type(base).__name__} doesn't have it; set it to false")
        # The other kind, reentrant, gives no gradient where the inputs of a layer need none (a frozen embedding).
        base.gradient_checkpointing_enable({"use_reentrant": False})
    return model


class Student(nn.Module):
    """A forward pass from a micro batch to the sums of its losses, the one thing that a training step differentiates.

    Layers compute in `dtype` and losses in float32. Logits are computed only where a loss reads them: where answer
    tokens are predicted, and at the compared position.
    """

    def __init__(
        self, model: PreTrainedModel | PeftModel, condition: Condition, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.model = model
        self.condition = condition
        self.loss = loss_function(condition)
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        self.base = [base]  # in a list, so that it isn't registered a second time
        self._no_split_modules = base._no_split_modules  # the layers that FSDP makes its units
        layers = getattr(condition, "layers", "all")
        self.capture = Capture(decoder_of(self.base[0]), None if layers == "all" else layers)

    def forward(self, batch: dict[str, Tensor], teacher: Tensor | dict[str, Tensor] | None) -> dict[str, Tensor]:
        """Sums over the micro batch.

        Args:
            batch: as `batches.collate` makes it.
            teacher: targets of its examples: hidden states (batch, layers, hidden), or a dictionary of top-k logits.

        Returns:
            `ce`, summed over answer tokens; `distillation`, summed over examples; for hidden states also `cosine`,
            (layers,), summed over examples.
        """
        where = batch["input_ids"].device.type
        with torch.autocast(where, self.dtype, enabled=self.dtype == torch.bfloat16):
            return self._losses(batch, teacher)

    def _losses(self, batch: dict[str, Tensor], teacher: Tensor | dict[str, Tensor] | None) -> dict[str, Tensor]:
        model = self.base[0]
        inputs = {"input_ids": batch["input_ids"], "use_cache": False}
        if self.condition.target == "hidden_states":
            with self.capture.at(batch["positions"]) as layers:
                hidden = decoder_of(model)(**inputs).last_hidden_state
            student = torch.cat(layers, dim=1)
        else:
            hidden = decoder_of(model)(**inputs).last_hidden_state
        predicted = logits_of(model, hidden[batch["rows"], batch["columns"]])
        sums = {"ce": F.cross_entropy(predicted, batch["targets"], reduction="sum")}
        if self.condition.target == "logits":
            rows = torch.arange(hidden.shape[0], device=hidden.device)
            student = logits_of(model, hidden[rows, batch["positions"][:, 0]])
        if self.loss is not None:
            # Losses compute in float32 whatever the precision of the layers.
            with torch.autocast(hidden.device.type, enabled=False):
                sums["distillation"] = self.loss(student, teacher, self.condition).sum()
        if self.condition.target == "hidden_states":
            with torch.no_grad():
                sums["cosine"] = F.cosine_similarity(student.float(), teacher.float(), dim=-1).sum(0)
        return sums
