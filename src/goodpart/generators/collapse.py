"""Collapse of an adversarial training: seen, said, and answered.

Two ways in which it ends: the judging network tells drawn from real images without a mistake and
the drawing network learns nothing more; or the drawing network gives the same image whatever the
noise. Both show within a few epochs, so that a training need not run to its end for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from goodpart.errors import TrainingError

# The judging loss of a coin is 1.39 (cross-entropy) or 2 (hinge).
WON = 0.01
SAME = 0.05
# Epochs in a row: before them it is a mood of the training.
PATIENCE = 5
# A network that has just begun draws the same grey for every noise.
GRACE = 5


@dataclass(frozen=True)
class Handling:
    """What a training does otherwise after collapses.

    Parameters
    ----------
    slower : float
        Factor on the judging network's learning rate.
    noise : float
        Sigma of the noise on what the judging network sees, in half ranges (images are in
        [−1, 1]); it makes drawn and real images overlap (Arjovsky and Bottou, 2017).
    """

    slower: float = 1.0
    noise: float = 0.0

    @classmethod
    def after(cls, collapses: int) -> Handling:
        """Each time a quarter of the rate and more noise."""
        return cls(slower=0.25**collapses, noise=0.1 * collapses)


class Collapse(TrainingError):
    """The training has collapsed.

    Parameters
    ----------
    trouble : str
        What was seen.
    epoch : int
    """

    def __init__(self, trouble: str, epoch: int) -> None:
        super().__init__(f"training collapsed in epoch {epoch}: {trouble}")
        self.trouble = trouble
        self.epoch = epoch


class Health(nn.Module):
    """Counts bad epochs; a module, so that checkpoints keep the counts."""

    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(3, dtype=torch.int64))

    @property
    def well(self) -> bool:
        """Whether the last epoch was a good one, beyond the first few."""
        seen, won, same = self.counts.tolist()
        return seen > GRACE and won == 0 and same == 0

    def forward(self, judging_loss: float, diversity: float) -> str | None:
        """Book an epoch.

        Parameters
        ----------
        judging_loss : float
            Mean over the epoch.
        diversity : float
            Of drawn images, as a share of the real ones'.

        Returns
        -------
        str or None
            What is wrong, or ``None``.
        """
        seen, won, same = self.counts.tolist()
        won = won + 1 if judging_loss < WON else 0
        same = same + 1 if diversity < SAME and seen >= GRACE else 0
        self.counts.copy_(torch.tensor([seen + 1, won, same]))
        if won >= PATIENCE:
            return f"the judging network has won (its loss {judging_loss:.2g} for {won} epochs)"
        if same >= PATIENCE:
            return (
                f"all drawn images are alike (their diversity is {diversity:.1%} of the real "
                f"images' for {same} epochs)"
            )
        return None


def diversity(images: Tensor) -> float:
    """Root mean square difference of two of the images: (N, C, H, W), any unit."""
    return float(torch.sqrt(2 * images.float().var(dim=0, unbiased=True).mean()))
