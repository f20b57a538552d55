"""Statistics of a data folder: what is in it, and which images do not belong.

Each image is read once; what is kept of it is a few numbers and a 64 x 64 thumbnail, so that
memory stays small for large folders.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import DataError, ImageError
from goodpart.parts.dataset import Dataset, Item
from goodpart.parts.duplicates import Match, near_duplicates, thumbnail_of
from goodpart.parts.read import SourceImage, read_image
from goodpart.parts.road import looks_grey
from goodpart.progress import Progress, track
from goodpart.recipe import InputSection

FOCUS_SIDE = 512
# Robust deviations from the median of the good images beyond which one is suspicious.
OUTLIER_DEVIATIONS = 5.0
MEASURES = ("brightness", "contrast", "focus")


@dataclass(frozen=True)
class Facts:
    """What is known of one image.

    Parameters
    ----------
    item : Item
    width, height : int
        Upright, in pixels.
    grey : bool
        One channel, or three that agree within JPEG noise.
    bits : int
        8 or 16 per channel.
    brightness, contrast : float
        Mean and standard deviation of the grey levels, 0 to 255 (16-bit values divided by 257).
    focus : float
        Variance of the Laplacian over the variance of the grey levels, on an image reduced to
        512 pixels: higher = sharper (Pech-Pacheco et al., 2000, made independent of contrast).
    pixels_sha256 : str
        Of shape and pixels: equal for the same picture in another file format.
    thumbnail : ndarray of uint8, (64, 64)
    """

    item: Item
    width: int
    height: int
    grey: bool
    bits: int
    brightness: float
    contrast: float
    focus: float
    pixels_sha256: str
    thumbnail: NDArray[np.uint8] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Outlier:
    """A good image that is unlike the other good images.

    Parameters
    ----------
    facts : Facts
    measure : "brightness", "contrast", "focus" or "size"
    deviations : float
        Robust deviations from the median of the good images; infinite for a size of its own.
    """

    facts: Facts
    measure: str
    deviations: float


@dataclass(frozen=True)
class Statistics:
    """Everything that ``stats`` says about a data folder.

    Parameters
    ----------
    dataset : Dataset
    facts : list of Facts
    unreadable : list of (Item, ImageError)
    exact : list of list of Facts
        Groups of images with the very same pixels.
    near : list of Match
        Pairs that show the same picture, perhaps turned, mirrored, re-encoded or with noise;
        indices are those of ``facts``. Exact duplicates are not repeated here.
    outliers : list of Outlier
        Farthest first.
    """

    dataset: Dataset
    facts: list[Facts]
    unreadable: list[tuple[Item, ImageError]]
    exact: list[list[Facts]]
    near: list[Match]
    outliers: list[Outlier]

    def pairs(self) -> list[tuple[Facts, Facts, str]]:
        """All pairs of duplicates, with how they are alike."""
        same = [(group[0], other, "the same pixels") for group in self.exact for other in group[1:]]
        return same + [
            (self.facts[m.first], self.facts[m.second], f"{m.correlation:.3f} alike{m.turned}")
            for m in self.near
        ]

    def leaks(self) -> list[tuple[Facts, Facts, str]]:
        """Pairs of duplicates, or images of one source, on both sides of the split."""
        crossing = [
            pair for pair in self.pairs() if len({pair[0].item.split, pair[1].item.split}) > 1
        ]
        return crossing + self._shared_sources()

    def conflicts(self) -> list[tuple[Facts, Facts, str]]:
        """Pairs of duplicates with different labels."""
        return [pair for pair in self.pairs() if pair[0].item.label != pair[1].item.label]

    def _shared_sources(self) -> list[tuple[Facts, Facts, str]]:
        first: dict[tuple[str, str], Facts] = {}
        found = []
        for facts in self.facts:
            # Without an index the source is only a file's own name, which folders may repeat.
            if facts.item.source != facts.item.path.stem:
                first.setdefault((facts.item.source, facts.item.split), facts)
        for (source, split), facts in first.items():
            other = first.get((source, "test"))
            if split == "train" and other is not None:
                found.append((facts, other, f"both from {source}"))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""

        def pairs(found: Sequence[tuple[Facts, Facts, str]]) -> list[dict[str, str]]:
            return [
                {"first": str(a.item.path), "second": str(b.item.path), "how": how}
                for a, b, how in found
            ]

        return {
            "data": str(self.dataset.root),
            "layout": self.dataset.layout,
            "images": len(self.dataset.items),
            "generated": sum(item.generated for item in self.dataset.items),
            "counts": _nested(self.dataset.counts()),
            "sizes": dict(Counter(f"{f.width}x{f.height}" for f in self.facts).most_common()),
            "grey": sum(facts.grey for facts in self.facts),
            "bits": dict(Counter(str(facts.bits) for facts in self.facts)),
            **{name: self.summary(name) for name in MEASURES},
            "unreadable": [
                {"file": str(item.path), "reason": error.reason, "message": str(error)}
                for item, error in self.unreadable
            ],
            "exact_duplicates": [[str(f.item.path) for f in group] for group in self.exact],
            "near_duplicates": pairs(self.pairs()[sum(len(g) - 1 for g in self.exact) :]),
            "leaks": pairs(self.leaks()),
            "conflicts": pairs(self.conflicts()),
            "outliers": [
                {
                    "file": str(outlier.facts.item.path),
                    "measure": outlier.measure,
                    "deviations": outlier.deviations if np.isfinite(outlier.deviations) else None,
                }
                for outlier in self.outliers
            ],
        }

    def summary(self, measure: str) -> dict[str, dict[str, float]]:
        """Lowest, median and highest value of a measure, by label."""
        found: dict[str, dict[str, float]] = {}
        for label in sorted({facts.item.label for facts in self.facts}):
            values = [getattr(f, measure) for f in self.facts if f.item.label == label]
            low, median, high = np.quantile(values, [0, 0.5, 1])
            found[label] = {"min": float(low), "median": float(median), "max": float(high)}
        return found


def gather_statistics(
    dataset: Dataset,
    *,
    limits: InputSection | None = None,
    progress: Progress | None = None,
) -> Statistics:
    """Read every image of a data folder once and find what is wrong with it.

    Parameters
    ----------
    dataset : Dataset
    limits : InputSection, optional
        Limits on bytes and pixels.
    progress : callable, optional

    Raises
    ------
    DataError
        No image can be read.
    """
    facts: list[Facts] = []
    unreadable: list[tuple[Item, ImageError]] = []
    for item in track(dataset.items, "reading", len(dataset.items), progress):
        try:
            facts.append(measure(item, read_image(item.path, limits=limits)))
        except ImageError as error:
            unreadable.append((item, error))
    if not facts:
        raise DataError(f"none of the images can be read; the first: {unreadable[0][1]}")
    exact = _exact(facts)
    copies = {id(other) for group in exact for other in group[1:]}
    single = [place for place, found in enumerate(facts) if id(found) not in copies]
    thumbnails = np.stack([facts[place].thumbnail for place in single])
    labels = [facts[place].item.label for place in single]
    near = [
        Match(single[m.first], single[m.second], m.correlation, m.turned)
        for m in near_duplicates(thumbnails, labels, progress)
    ]
    return Statistics(dataset, facts, unreadable, exact, near, find_outliers(facts))


def measure(item: Item, image: SourceImage) -> Facts:
    """The facts of one decoded image."""
    pixels = image.pixels
    height, width = pixels.shape[:2]
    grey = to_grey(pixels)
    return Facts(
        item=item,
        width=width,
        height=height,
        grey=looks_grey(pixels),
        bits=8 * pixels.dtype.itemsize,
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        focus=focus_of(grey),
        pixels_sha256=hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
        thumbnail=thumbnail_of(grey),
    )


def to_grey(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Grey levels 0 to 255 as float32, (H, W)."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scaled = grey.astype(np.float32)
    return scaled / np.float32(257) if pixels.dtype == np.uint16 else scaled


def focus_of(grey: NDArray[np.float32]) -> float:
    """Sharpness of a grey image: see :class:`Facts`; 0 for an image without contrast."""
    scale = FOCUS_SIDE / max(grey.shape)
    small: Any = grey
    if scale < 1:
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    variance = float(small.var())
    if variance < 1e-6:
        return 0.0
    return float(cv2.Laplacian(small, cv2.CV_32F).var()) / variance


def find_outliers(facts: Sequence[Facts]) -> list[Outlier]:
    """Good images far from the others in brightness, contrast or focus, or of a size of their own.

    Deviations are 1.4826 times the median absolute deviation, which a few odd images do not move.
    Brightness and contrast are compared as they are, focus by its logarithm. Below eight good
    images nothing can be said.
    """
    good = [found for found in facts if found.item.good]
    if len(good) < 8:
        return []
    found: list[Outlier] = []
    for name in MEASURES:
        values = np.array([getattr(each, name) for each in good])
        if name == "focus":
            values = np.log(values + 1e-6)
        distance = np.abs(values - np.median(values))
        # Cameras are not that steady: less than a grey level (5 % for focus) is never odd.
        least = 0.05 if name == "focus" else 1.0
        spread = max(1.4826 * float(np.median(distance)), least)
        for place in np.flatnonzero(distance > OUTLIER_DEVIATIONS * spread):
            found.append(Outlier(good[place], name, float(distance[place] / spread)))
    sizes = Counter((each.width, each.height) for each in good)
    usual, count = sizes.most_common(1)[0]
    if count >= 0.9 * len(good):
        odd = (each for each in good if (each.width, each.height) != usual)
        found += [Outlier(each, "size", float("inf")) for each in odd]
    return sorted(found, key=lambda outlier: -outlier.deviations)


def _exact(facts: Sequence[Facts]) -> list[list[Facts]]:
    groups: dict[str, list[Facts]] = {}
    for found in facts:
        groups.setdefault(found.pixels_sha256, []).append(found)
    return [group for group in groups.values() if len(group) > 1]


def _nested(counts: dict[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (split, label), count in sorted(counts.items()):
        nested.setdefault(split, {})[label] = count
    return nested


def suspicious(statistics: Statistics) -> list[tuple[Path, str]]:
    """Files that a person should look at, with the reason; the gravest first, each once."""
    entries: list[tuple[Path, str]] = []
    for first, second, how in statistics.conflicts():
        entries += [(each.item.path, f"two labels: {how}") for each in (first, second)]
    for first, second, how in statistics.leaks():
        entries += [(each.item.path, f"{each.item.split}: {how}") for each in (first, second)]
    for outlier in statistics.outliers:
        far = "" if outlier.measure == "size" else f" {outlier.deviations:.0f} deviations off"
        entries.append((outlier.facts.item.path, f"{outlier.measure}{far}"))
    for first, second, how in statistics.pairs():
        entries += [(first.item.path, how), (second.item.path, how)]
    first_reason: dict[Path, str] = {}
    for path, reason in entries:
        first_reason.setdefault(path, reason)
    return list(first_reason.items())
