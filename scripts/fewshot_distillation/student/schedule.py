"""The learning rate of every optimizer step."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from ..config.catalogue import Training


class LearningRate:
    """A schedule that moves on by `scheduler_steps_per_step` of its own steps in each optimizer step.

    With one, it ends where training does. It is not given to accelerate, which would step it once per process: what
    is trained would depend on the number of GPUs.
    """

    def __init__(self, optimizer: Optimizer, training: Training, max_steps: int) -> None:
        # Of its schedules only "constant" would leave out the warm-up.
        kind = "constant_with_warmup" if training.lr_scheduler == "constant" else training.lr_scheduler
        self.steps = training.scheduler_steps_per_step
        self.schedule: LambdaLR = get_scheduler(kind, optimizer, training.warmup_steps, max_steps)

    def step(self) -> None:
        """Move on after an optimizer step."""
        for _ in range(self.steps):
            self.schedule.step()

    def continue_after(self, done: int) -> list[float]:
        """Move to where it was after so many optimizer steps; return the rate of each parameter group."""
        taken = self.schedule.last_epoch = done * self.steps
        pairs = zip(self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True)
        return [peak * factor(taken) for peak, factor in pairs]
