"""The real images that a generator learns from: read, checked to be alike, and resized."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import DataError, ImageError
from goodpart.parts.dataset import Item, load_dataset
from goodpart.parts.read import read_image
from goodpart.parts.road import looks_grey, to_eight_bit_range
from goodpart.progress import Progress, track

FEWEST = 8
# Decoded images are all kept while they are being read.
MOST_BYTES = 4 * 2**30
# What cameras give in 16-bit files: 10, 12, 14 or 16 bits.
WHITE_LEVELS = (1023, 4095, 16383, 65535)


@dataclass(frozen=True)
class RealImages:
    """Good part images of one size, all grey or all in colour.

    Parameters
    ----------
    pixels : list of ndarray of uint8, (H, W) or (H, W, 3) RGB
    items : list of Item
    sha256 : list of str
        Of the files.
    left_out : list of (str, str)
        Name and reason of files that cannot be read.
    """

    pixels: list[NDArray[Any]]
    items: list[Item]
    sha256: list[str]
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels[0].shape[0], self.pixels[0].shape[1]

    @property
    def channels(self) -> int:
        """1 grey, 3 colour."""
        return 1 if self.pixels[0].ndim == 2 else 3

    @property
    def data_sha256(self) -> str:
        """Fingerprint of the images, whatever their order."""
        return hashlib.sha256("".join(sorted(self.sha256)).encode()).hexdigest()


def read_real_images(data: str | Path, progress: Progress | None = None) -> RealImages:
    """Read the good training images of a data folder, without generated ones.

    Raises
    ------
    DataError
        Fewer than 8 images, sizes differ, or grey and colour are mixed.
    """
    items = [item for item in load_dataset(data).train_good() if not item.generated]
    _enough(len(items), data)
    found = RealImages([], [], [])
    total = 0
    for item in track(items, "reading", len(items), progress):
        try:
            image = read_image(item.path)
        except ImageError as error:
            found.left_out.append((str(item.path), str(error)))
            continue
        pixels = image.pixels
        total += pixels.nbytes
        if total > MOST_BYTES:
            raise DataError(
                f"{data}: more than {MOST_BYTES >> 30} GiB of pixels; give fewer images, "
                "a generator needs a few hundred"
            )
        found.pixels.append(pixels)
        found.items.append(item)
        found.sha256.append(image.sha256)
    _enough(len(found.pixels), data)
    _to_eight_bits(found)
    _alike(found)
    return found


def _enough(count: int, data: str | Path) -> None:
    if count < FEWEST:
        raise DataError(
            f"{data}: {count} good training images that can be read; a generator needs at least "
            f"{FEWEST}, about 100 are right"
        )


def _alike(found: RealImages) -> None:
    """Sizes and colour agree; three equal channels count as grey, as everywhere."""
    first = found.items[0].path
    grey = looks_grey(found.pixels[0])
    for item, pixels in zip(found.items, found.pixels, strict=True):
        if pixels.shape[:2] != found.size:
            (h, w), (height, width) = pixels.shape[:2], found.size
            raise DataError(
                f"{item.path}: is {w}x{h} pixels but {first} {width}x{height}; a generator needs "
                "part images of one size: write them with goodpart prepare"
            )
        if looks_grey(pixels) != grey:
            names = ("grey", "in colour") if grey else ("in colour", "grey")
            raise DataError(
                f"{first}: is {names[0]} but {item.path} {names[1]}; a generator needs all images "
                "of one kind"
            )
    if grey:
        for place, pixels in enumerate(found.pixels):
            if pixels.ndim == 3:
                found.pixels[place] = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def _to_eight_bits(found: RealImages) -> None:
    """Drawn images have 8 bits; 16-bit ones are scaled by the level that training would take."""
    deep = [int(p.max()) for p in found.pixels if p.dtype == np.uint16]
    level = next(level for level in WHITE_LEVELS if max(deep, default=0) <= level)
    for place, pixels in enumerate(found.pixels):
        found.pixels[place] = np.rint(to_eight_bit_range(pixels, level)).astype(np.uint8)
