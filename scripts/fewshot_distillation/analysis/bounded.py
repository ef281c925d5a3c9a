"""The variance of a mean of bounded values if the mean were another one: Tango's, for values between -1 and 1."""

from typing import NamedTuple

import numpy as np

LEAST = 1e-12
# More than halving an interval takes, where Newton's method doesn't get there sooner.
STEPS = 100


class Bounded(NamedTuple):
    """Differences on questions, each between -1 and 1, as counts of the values that they can have.

    points: (values,), the possible values, with -1 and 1 as the first and the last.
    counts: (..., values), on how many questions each occurs; leading axes are studies.
    """

    points: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, ours: np.ndarray, theirs: np.ndarray) -> "Bounded":
        """Count the differences of mean answers, from (..., seeds, questions) booleans of either side."""
        many, others = ours.shape[-2], theirs.shape[-2]
        steps = int(np.lcm(many, others))
        each = ours.sum(-2) * (steps // many) - theirs.sum(-2) * (steps // others)
        found = np.stack([(each == value).sum(-1) for value in range(-steps, steps + 1)], -1)
        return cls(np.arange(-steps, steps + 1) / steps, found)

    @property
    def count(self) -> int:
        """The number of questions."""
        return int(self.counts.sum(-1).flat[0])

    @property
    def mean(self) -> np.ndarray:
        return (self.counts @ self.points) / self.count

    def variance_of_mean(self, mean: np.ndarray | float) -> np.ndarray:
        """Give the variance of the mean over questions if the true one were `mean`.

        The distribution is the likeliest one with that mean among all over the values that occur, -1 and 1 (Owen 2001,
        Empirical Likelihood, section 2.9, with the bounds of the values). With one seed of either side it is the one
        of Tango (1998), Statistics in Medicine 17:891-908. At the mean that was measured it is the usual variance.
        """
        mean = np.clip(np.broadcast_to(np.asarray(mean, dtype=float), self.counts.shape[:-1]), -1.0, 1.0)
        apart, share = self.points - mean[..., None], self.counts / self.count
        # Each value has the probability share / (1 + tilt * apart). The tilt that gives the mean is found by Newton's
        # method, between bounds at which -1 and 1, seen or not, take up what is left.
        low, high = -1 / np.maximum(1 - mean, LEAST), 1 / np.maximum(1 + mean, LEAST)
        tilt = np.zeros_like(mean)
        for _ in range(STEPS):
            scaled = apart / np.maximum(1 + tilt[..., None] * apart, LEAST)
            excess, slope = (share * scaled).sum(-1), (share * scaled**2).sum(-1)
            low, high = np.where(excess > 0, tilt, low), np.where(excess > 0, high, tilt)
            before, tilt = tilt, tilt + excess / np.maximum(slope, LEAST)
            tilt = np.where((tilt <= low) | (tilt >= high), (low + high) / 2, tilt)
            if np.all(np.abs(tilt - before) <= LEAST):
                break
        likely = share / np.maximum(1 + tilt[..., None] * apart, LEAST)
        left = np.maximum(1 - likely.sum(-1), 0.0)
        return np.maximum((likely * self.points**2).sum(-1) + left - mean**2, 0.0) / max(self.count - 1, 1)
