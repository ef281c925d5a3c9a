"""The student: the model with a LoRA adapter or with all weights trained, and its losses over a micro batch."""

import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..config.catalogue import Lora
from ..config.conditions import Learning
from ..config.specs import TrainSpec
from ..config.targets import HiddenStatesTarget, LogitsTarget
from ..errors import JobError
from ..modeling.hidden_states import Capture, decoder_of
from ..modeling.load import load_model
from ..modeling.packed import packed_hidden
from ..modeling.packed_attention import use_packed_attention
from ..modeling.vocabulary import over_vocabulary
from .batches import Batch, Head
from .targets import Values


def loss_function(target: HiddenStatesTarget | LogitsTarget) -> Callable[..., Tensor]:
    """Import `loss` of the file in `losses` that the target names."""
    return importlib.import_module(f"{__package__}.losses.{target.target}.{target.loss}").loss


def add_lora(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """Add a fresh adapter to the model; the seed decides its float32 initial weights."""
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
    """Load the model; what is trained of it requires a gradient.

    What is trained is float32 in any case, and autocast brings it to the precision of the layers. A bfloat16 weight has
    8 significant bits: a step of less than 1/512 of it, which is what learning rates of fine-tuning give, is lost to
    rounding.

    Args:
        home: the device of the weights.

    Raises:
        JobError: the model lacks a module that `lora` names, or has no gradient checkpointing.
    """
    base = load_model(folder, spec.precision if spec.lora else "fp32", home)
    use_packed_attention(base)
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

    Layers compute in `dtype` and losses in float32. Logits are computed only where a loss reads them, a chunk of tokens
    at a time.
    """

    def __init__(
        self, model: PreTrainedModel | PeftModel, learning: Learning, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.model = model
        self.learning = learning
        self.losses = [loss_function(target) for target in learning.targets]
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        self.base = [base]  # in a list, so that it isn't registered a second time
        self._no_split_modules = base._no_split_modules  # the layers that FSDP makes its units
        self.captures = {
            number: Capture(decoder_of(base), None if target.layers == "all" else target.layers)
            for number, target in enumerate(learning.targets)
            if target.target == "hidden_states"
        }

    def forward(self, batch: Batch, weights: list[dict[str, float]]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the sums of all losses over the micro batch, and weigh them.

        Args:
            weights: for each loss to differentiate, the weight of each sum in it.

        Returns:
            The losses, (losses,), and the sums, without a gradient: `ce`, over answer tokens; `target_<number>`, over
            the tokens of the target's span; for hidden states also `cosine_<number>`, (layers,), over them. What no
            token of the batch has is left out.
        """
        where = batch.packed.input_ids.device.type
        with torch.autocast(where, self.dtype, enabled=self.dtype == torch.bfloat16):
            return self._sums(batch, weights)

    def _sums(self, batch: Batch, weights: list[dict[str, float]]) -> tuple[Tensor, dict[str, Tensor]]:
        losses, sums = [], {}
        # Before the layers: a copy from the host behind their pass would wait for it.
        weight = self._columns(weights, batch.packed.input_ids.device)
        with contextlib.ExitStack() as stack:
            states = {n: stack.enter_context(self.captures[n].of(batch.packed, s)) for n, s in batch.states.items()}
            hidden = packed_hidden(decoder_of(self.base[0]), batch.packed)
        for number, layers in states.items():
            name, student, teacher = f"target_{number}", torch.stack(layers, dim=1), batch.values[number]
            # Losses compute in float32 whatever the precision of the layers.
            with torch.autocast(hidden.device.type, enabled=False):
                value = self.losses[number](student, teacher, self.learning.targets[number]).sum()
            losses.append(value * weight[name])
            sums[name] = value.detach()
            with torch.no_grad():
                sums[f"cosine_{number}"] = F.cosine_similarity(student.float(), teacher.float(), dim=-1).sum(0)
        for head in batch.heads:
            loss, found = self._head(head, head.chosen.of(hidden), batch.values, weight)
            losses.append(loss)
            sums |= found
        return torch.stack(losses).sum(0), sums

    def _columns(self, weights: list[dict[str, float]], device: torch.device) -> dict[str, Tensor]:
        """Weights (losses,) of each sum, on the device."""
        names = ["ce", *(f"target_{number}" for number in range(len(self.losses)))]
        table = torch.tensor([[w.get(name, 0.0) for w in weights] for name in names])
        return dict(zip(names, table.to(device, non_blocking=True).unbind(), strict=True))

    def _head(
        self, head: Head, hidden: Tensor, values: dict[int, Values], weight: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted losses and sums of what is computed from logits at the same tokens, hidden states (tokens, hidden).

        Cross-entropy alone takes the same way, so that λ = 0 equals plain fine-tuning to the bit.
        """
        keys = [(number, key) for number in head.targets for key in values[number]]
        given = [values[number][key] for number, key in keys]

        def terms(logits: Tensor, *parts: Tensor) -> Tensor:
            """Compute (tokens, terms) of a chunk."""
            rows = []
            if head.labels is not None:
                smoothing = self.learning.label_smoothing
                rows.append(F.cross_entropy(logits, parts[-1], reduction="none", label_smoothing=smoothing))
            for number in head.targets:
                teacher = {key: part for (n, key), part in zip(keys, parts, strict=False) if n == number}
                rows.append(self.losses[number](logits, teacher, self.learning.targets[number]))
            return torch.stack(rows, dim=1)

        names = (["ce"] if head.labels is not None else []) + [f"target_{number}" for number in head.targets]
        given += [] if head.labels is None else [head.labels]
        weights = torch.stack([weight[name] for name in names], dim=1)
        losses, found = over_vocabulary(self.base[0], terms, hidden, *given, weights=weights)
        return losses.sum(0), dict(zip(names, found.sum(0).unbind(), strict=True))
