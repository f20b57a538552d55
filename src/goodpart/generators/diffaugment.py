"""Differentiable augmentation of what the judging network sees.

Zhao, Liu, Lin, Zhu and Han, *Differentiable augmentation for data-efficient GAN training* (2020):
drawn and real images are changed in the same random ways and gradients pass through, so that the
judging network cannot learn a hundred images by heart and the drawing network does not learn the
changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 0.125
CUTOUT = 0.4


def augment(images: Tensor, kinds: Sequence[str]) -> Tensor:
    """Change each image by itself.

    Parameters
    ----------
    images : Tensor (N, C, H, W)
        In [−1, 1]; the result may lie a little outside.
    kinds : sequence of "color", "shift", "cutout"
        Brightness, contrast and (of colour images) saturation; displacement by up to an eighth
        of the side; a rectangle of 0.4 of the sides that is blanked.
    """
    for kind in kinds:
        images = _KINDS[kind](images)
    return images


def _uniform(images: Tensor) -> Tensor:
    """One number in [0, 1) for each image: (N, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, device=images.device)


def _color(images: Tensor) -> Tensor:
    images = images + (_uniform(images) - 0.5)
    if images.shape[1] == 3:
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * 2 * _uniform(images)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (0.5 + _uniform(images))


def _shift(images: Tensor) -> Tensor:
    count, _, height, width = images.shape
    reach = (max(1, int(height * SHIFT)), max(1, int(width * SHIFT)))
    padded = F.pad(images, (reach[1], reach[1], reach[0], reach[0]))
    device = images.device
    down = torch.randint(0, 2 * reach[0] + 1, (count, 1, 1), device=device)
    right = torch.randint(0, 2 * reach[1] + 1, (count, 1, 1), device=device)
    rows = torch.arange(height, device=device)[None, :, None] + down
    columns = torch.arange(width, device=device)[None, None, :] + right
    which = torch.arange(count, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)


def _cutout(images: Tensor) -> Tensor:
    _, _, height, width = images.shape
    rows = torch.arange(height, device=images.device)[None, None, :, None]
    columns = torch.arange(width, device=images.device)[None, None, None, :]
    row, column = _uniform(images) * height, _uniform(images) * width
    inside = ((rows - row).abs() < CUTOUT * height / 2) & (
        (columns - column).abs() < CUTOUT * width / 2
    )
    return images * (~inside).to(images.dtype)


_KINDS = {"color": _color, "shift": _shift, "cutout": _cutout}
