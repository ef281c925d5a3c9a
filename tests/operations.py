"""Counts operations that PyTorch dispatches, which is what a GPU waits for."""

from collections import Counter

from torch.utils._python_dispatch import TorchDispatchMode  # PyTorch has no public name for it


class Operations(TorchDispatchMode):
    """Counts operations that compute something."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, operation, types, arguments=(), settings=None):
        if not operation.is_view:
            self.counts[operation.name()] += 1
        return operation(*arguments, **(settings or {}))
