"""Tensors of every row, computed and saved shard by shard.

A later attempt finds the shards of an interrupted one. Several processes take turns: each computes every n-th shard.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ..runtime.processes import RANK, WORLD_SIZE, all_here, check_launcher
from ..runtime.progress import progress
from .cache import save_shard

log = logging.getLogger("fewshot_distillation")


class Shards:
    """The shards of `rows` rows, `size` in each, in a folder that outlives an interruption.

    Args:
        prompts: digest of the prompts that are read; shards of others are not found again.
    """

    def __init__(self, folder: Path, rows: int, size: int, prompts: str) -> None:
        self.folder, self.rows, self.size = folder, rows, size
        own = folder / f"prompts-{prompts[:16]}"
        self.paths = [own / f"shard-{start:08d}.safetensors" for start in range(0, rows, size)]
        # Which process has which shard may not depend on what is there already, since they look at different times.
        self.mine = range(RANK, len(self.paths), WORLD_SIZE)

    def rows_of(self, shard: int) -> range:
        return range(shard * self.size, min((shard + 1) * self.size, self.rows))

    def missing(self) -> list[int]:
        """Return numbers of the shards that this process has yet to compute."""
        return [shard for shard in self.mine if not self.paths[shard].exists()]

    def compute(self, values: Callable[[list[int]], dict[str, Tensor]], what: str) -> None:
        """Save the missing shards of this process; `values` returns the tensors of a shard's rows."""
        if WORLD_SIZE > 1:
            what = f"{what}, process {RANK + 1} of {WORLD_SIZE}"
            log.setLevel(logging.INFO)  # every process reports its own share, in all one line in five seconds
        missing, total = self.missing(), len(self.mine)
        for shard in progress(missing, what, total, total - len(missing), unit="shard", every=5 * WORLD_SIZE):
            check_launcher()
            save_shard(self.paths[shard], values(list(self.rows_of(shard))))

    def complete(self) -> bool:
        """Wait until all processes have done their shards; true for the one that puts them together."""
        if not all_here(self.folder):
            return False
        lost = [path.name for path in self.paths if not path.exists()]
        if lost:
            raise FileNotFoundError(f"{self.folder}: {lost[0]} is missing, though every process is done")
        return True
