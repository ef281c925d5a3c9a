"""LoRA in fewer operations: on a GPU a step of a small model waits for the number of them."""

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear, LoraLayer, LoraVariant
from torch import Tensor


class _Lean(LoraVariant):
    """W x + s B A dropout(x), with product, scale and sum of the second half in one operation.

    PEFT scales and adds in two more, over tensors as large as a layer's output, and again in the backward pass.
    """

    @staticmethod
    def forward(module: LoraLayer, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        low = module.lora_A[active_adapter](module.lora_dropout[active_adapter](x))
        weight = module.lora_B[active_adapter].weight
        scaled = torch.addmm(
            result.flatten(0, -2), low.flatten(0, -2), weight.t(), alpha=module.scaling[active_adapter]
        )
        return scaled.view(result.shape)


def use_lean_lora(model: PeftModel) -> None:
    """Let linear layers with a plain adapter compute as `_Lean` does; equal up to rounding.

    What they read isn't brought to the adapter's float32 either: under autocast it would be brought back at once.
    For training only, because PEFT doesn't merge it. Not with weights that are whole only within their module's call
    (DeepSpeed's stage 3).
    """
    for module in model.modules():
        if isinstance(module, Linear):
            module.cast_input_dtype_enabled = False
            for adapter in module.lora_A:
                # The product takes no bias, and what other variants do is theirs.
                if adapter not in module.lora_variant and module.lora_B[adapter].bias is None:
                    module.lora_variant[adapter] = _Lean()
