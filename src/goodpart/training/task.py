"""What a training is about: modules, optimizers, and what one step does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer


class Task(ABC):
    """What the loop trains; a generator brings two modules and two optimizers, others one each.

    Attributes
    ----------
    modules : dict of str to Module
        Everything that has weights. The loop replaces them by their Fabric versions.
    optimizers : dict of str to Optimizer
        Likewise.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """How many batches :meth:`batches` yields."""

    @abstractmethod
    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Any]:
        """The batches of one epoch.

        Parameters
        ----------
        epoch : int
            Counted from 1.
        rng : numpy.random.Generator
            The same for the same seed and epoch: draw order and augmentation from it alone, so
            that a resumed training goes on exactly like one that was never interrupted.
        """

    @abstractmethod
    def step(self, batch: Any, fabric: Fabric) -> dict[str, Tensor]:
        """Learn from one batch: forward, ``fabric.backward``, optimizer steps.

        Returns
        -------
        dict of str to Tensor
            Scalar figures, averaged over the epoch; ``"loss"`` is shown and must be there.
        """

    def validate(self) -> dict[str, float]:
        """Figures on images that are never learned from, after each epoch; empty: there are none.

        Modules are in evaluation mode and gradients are off.
        """
        return {}
