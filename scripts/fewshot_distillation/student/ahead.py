"""Reading ahead: while a micro batch is computed, a thread reads what the next one learns from its teachers' caches."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from .batches import Batch, StepPlan, Target, collate
from .targets import TargetCache


class Ahead:
    """Reads micro batches in one thread, the next one before it is asked for.

    Whatever is read ahead is what would be read then: a step's examples are a function of its number alone. The thread
    ends with this object, and Python waits at its own end for no more than the reading of one micro batch.

    Args:
        last: the last step, behind which nothing is read.
    """

    def __init__(self, targets: list[Target], caches: list[TargetCache], last: int) -> None:
        self.targets, self.caches, self.last = targets, caches, last
        self.thread = ThreadPoolExecutor(1, "reading ahead")
        self.waiting: tuple[tuple[int, int], Future[Batch]] | None = None

    def batch(self, plan: StepPlan, number: int, plan_of: Callable[[int], StepPlan], again: bool = False) -> Batch:
        """Return a micro batch of a step, and begin to read the one that comes after it.

        Args:
            plan_of: from a step to what it reads.
            again: whether the step's micro batches are read once more after its last one.

        Raises:
            JobError: it can't be read; an error of what was read ahead is raised where that is asked for.
        """
        (key, reading), self.waiting = self.waiting or (None, None), None
        if key != (plan.step, number):
            reading = self._read(plan, number)
        batch = reading.result()
        later = plan.mine[plan.mine.index(number) + 1 :]
        if not later:
            plan = plan if again else plan_of(plan.step + 1) if plan.step < self.last else None
            later = plan.mine if plan else ()
        if later:
            self.waiting = (plan.step, later[0]), self._read(plan, later[0])
        return batch

    def _read(self, plan: StepPlan, number: int) -> "Future[Batch]":
        return self.thread.submit(collate, plan.micro_batches[number], self.targets, self.caches)
