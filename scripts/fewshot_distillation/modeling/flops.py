"""The FLOPs of training steps."""

from torch import nn


class StepWork:
    """The FLOPs of training steps of one model.

    Model FLOPs, as they are usually counted: two a parameter and token in the forward pass and as many in the backward
    pass through frozen weights, twice as many through trained ones and attention, which has none (Kaplan et al. 2020,
    arXiv:2001.08361, table 1; Chowdhery et al. 2022, arXiv:2204.02311, appendix B).

    Args:
        decoder: the layers, with adapters if those are trained.
        head: the language-model head.
    """

    def __init__(self, decoder: nn.Module, head: nn.Module) -> None:
        config = decoder.config.get_text_config()
        linear = [module.weight for module in decoder.layers.modules() if isinstance(module, nn.Linear)]
        self.frozen = sum(weight.numel() for weight in linear if not weight.requires_grad)
        self.trained = sum(weight.numel() for weight in linear if weight.requires_grad)
        self.passes = 2 if self.frozen else 3
        features = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.attention = 2 * config.num_hidden_layers * config.num_attention_heads * features
        self.head = head.weight.numel()

    def flops(self, lengths: list[int], logits: int) -> float:
        """Return the FLOPs of a step over sequences of these lengths, with logits at so many of their tokens."""
        tokens = sum(lengths)
        attention = self.attention * sum(length**2 for length in lengths)
        matrices = (4 * self.frozen + 6 * self.trained) * tokens + self.passes * 2 * self.head * logits
        return matrices + 3 * attention
