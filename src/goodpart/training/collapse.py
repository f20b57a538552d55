"""Collapse detection: a network that gives the same grey whatever it is shown.

Trained plainly, small autoencoders often stop where the output is a constant and the loss is the
variance of the data. The loss curve then looks like convergence, and every score is meaningless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Below this share of the data's variance explained, or of its contrast shown, it is a collapse.
LEAST_EXPLAINED = 0.2
LEAST_CONTRAST = 0.1


@dataclass(frozen=True)
class Reconstruction:
    """How well outputs follow their targets.

    Parameters
    ----------
    error : float
        Mean squared error.
    variance : float
        Of the targets, over all their pixels: the error of the best constant.
    contrast : float
        Mean standard deviation inside an output, as a share of that inside a target.
    """

    error: float
    variance: float
    contrast: float

    @property
    def explained(self) -> float:
        """Share of the variance that the outputs explain: 1 is perfect, 0 a constant."""
        return 1.0 - self.error / self.variance if self.variance > 0 else 1.0

    @property
    def collapsed(self) -> bool:
        """Whether the network only gives a constant."""
        if self.variance <= 0:  # images without any contrast: a constant is all there is
            return False
        return self.explained < LEAST_EXPLAINED or self.contrast < LEAST_CONTRAST

    def warning(self) -> str | None:
        """The sentence for people and the provenance, or ``None`` where all is well."""
        if not self.collapsed:
            return None
        return (
            f"training collapsed: the network gives nearly the same grey everywhere "
            f"(its error {self.error:.4g} is {self.error / self.variance:.0%} of the variance of "
            f"the images, its contrast {self.contrast:.0%} of theirs); its scores mean little: "
            "train with another seed, a lower learning rate or the default preset"
        )


def compare(pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> Reconstruction:
    """Compare outputs with their targets.

    Parameters
    ----------
    pairs : iterable of (target, output)
        Arrays of the same shape and unit, one image each.

    Raises
    ------
    ValueError
        There is none.
    """
    count = 0
    total = squares = errors = spread = shown = 0.0
    for target, output in pairs:
        wide, out = target.astype(np.float64), output.astype(np.float64)
        count += wide.size
        total += wide.sum()
        squares += np.square(wide).sum()
        errors += np.square(wide - out).sum()
        spread += wide.std()
        shown += out.std()
    if count == 0:
        raise ValueError("nothing to compare")
    variance = max(0.0, squares / count - (total / count) ** 2)
    return Reconstruction(errors / count, variance, shown / spread if spread > 0 else 1.0)
