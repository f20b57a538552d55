"""Muon for convolutions (Jordan et al. 2024): momentum, made orthogonal, as the step.

Each group of a grouped convolution is a matrix of its own: outputs × (inputs · height · width).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonal(matrix: Tensor, rounds: int = 5) -> Tensor:
    """The nearest matrices with singular values about 1, by Newton-Schulz; batched (…, m, n)."""
    x = matrix.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    for _ in range(rounds):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Muon over the weights of convolutions.

    Parameters
    ----------
    layers
        The convolutions whose weights it moves.
    lr
        Length of a step: each group's matrix moves by an orthogonal matrix of this size.
    momentum, decay
        Of the gradient; of the weights, times ``lr``.
    """

    def __init__(
        self, layers: Iterable[nn.Conv2d], lr: float, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        groups = [{"params": [layer.weight], "conv_groups": layer.groups} for layer in layers]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "decay": decay})
        for group in self.param_groups:
            (weight,) = group["params"]
            self.state[weight]["momentum"] = torch.zeros_like(weight)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            (weight,) = group["params"]
            kept = self.state[weight]["momentum"].lerp_(weight.grad, 1 - group["momentum"])
            ahead = weight.grad.lerp(kept, group["momentum"])
            count = group["conv_groups"]
            matrix = ahead.reshape(count, len(weight) // count, -1)
            stretch = max(1.0, matrix.shape[1] / matrix.shape[2]) ** 0.5
            move = orthogonal(matrix).reshape(weight.shape)
            weight.mul_(1 - group["lr"] * group["decay"]).add_(move, alpha=-group["lr"] * stretch)
