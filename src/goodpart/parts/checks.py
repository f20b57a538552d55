"""Checks of a part image before it is judged: is it the kind of image that was learned?

A picture that is dark, blurred or without a part says nothing about the part. What lies outside
what good images show, with a generous margin, is not judged; it is never OK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.align_template import edges_of
from goodpart.parts.area import area_means
from goodpart.parts.views import grey_of
from goodpart.parts.warp import inside_share
from goodpart.recipe import ChecksSection

LIKENESS_ARRAY = "likeness"
"""Key of the mean edges of good parts, float32, for the check of the same name."""

_LIKENESS_SIDE = 48
_WHITE = 250
# Of each measure: the least spread that is believed in, from few or very equal good images.
_LEAST_SPREAD = {
    "brightness": 5.0,
    "contrast": 3.0,
    "saturation": 0.02,
    "focus": 0.1,
    "likeness": 0.04,
    "place": 0.015,
    "scale": 0.02,
    "shown": 0.01,
}
# Good images that resemble their mean less than this (textures) do not tell what a part looks like.
_ALIKE = 0.5
# How far beyond the good images a measure may go, in robust deviations and in their own range.
_DEVIATIONS = 4.0
_RANGE_SHARE = 0.5
# A few images this many robust deviations away show something else altogether (a black frame,
# another product): what good parts look like is learned without them.
_STRANGE = 10.0
_FEW_STRANGE = 0.05
_ENOUGH = 8
# Not by the share of white pixels: it is nought in most images, and glare is no other picture.
_STRANGE_BY = ("brightness", "contrast", "focus", "likeness")
# Of each measure: reason and words for too low and too high; None: that side is never wrong.
_Words = tuple[str, str] | None
_SAYS: dict[str, tuple[_Words, _Words]] = {
    "brightness": (("too dark", "is too dark"), ("too bright", "is too bright")),
    "contrast": (("low contrast", "has too little contrast"), None),
    "saturation": (None, ("overexposed", "is overexposed: too many pixels are white")),
    "focus": (("out of focus", "is out of focus"), None),
    "likeness": (("part missing", "shows no part like the good ones"), None),
    "place": (None, ("misplaced", "shows the part far from where parts usually lie")),
    "scale": (
        ("wrong scale", "shows the part smaller than usual"),
        ("wrong scale", "shows the part larger than usual"),
    ),
    "shown": (("cut off", "shows less of the part than usual"), None),
}


def measure(
    pixels: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    *,
    transform: NDArray[np.float64],
    source: tuple[int, int],
    aligned: bool,
    edges: NDArray[np.float32] | None = None,
) -> dict[str, float]:
    """What is checked, for one part image.

    Parameters
    ----------
    pixels : ndarray of uint8 or float32 0..255, (H, W) or (H, W, 3)
    mask : ndarray of bool, (H, W), optional
    transform : ndarray of float64, (3, 3)
        Part image to the image in which the part was located.
    source : (int, int)
        Height and width of that image.
    aligned : bool
        Whether the part was located there: otherwise its place says nothing.
    edges : ndarray of float32, optional
        Mean edges of good parts, for ``likeness``.
    """
    grey = grey_of(pixels)
    counted = None if mask is None else mask.astype(np.uint8)
    levels = np.arange(256)
    # One pass for what depends on grey levels alone.
    shares = cv2.calcHist([grey], [0], counted, [256], [0, 256]).ravel().astype(np.float64)
    shares /= max(1.0, shares.sum())
    mean = float(shares @ levels)
    sharp = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S), mask=counted)[1]
    values = {
        "brightness": mean,
        "contrast": float(np.sqrt(shares @ np.square(levels - mean))),
        "saturation": float(shares[_WHITE:].sum()),
        "focus": float(np.log10(float(sharp[0, 0]) ** 2 + 1e-2)),
    }
    if edges is not None:
        values["likeness"] = float((likeness_edges(grey) * edges).sum())
    if aligned:
        middle = np.array([(grey.shape[1] - 1) / 2, (grey.shape[0] - 1) / 2, 1.0])
        x, y = (transform @ middle)[:2]
        side = min(source)
        # Where the middle of the part lies in its image, and how large a part pixel is there.
        values["x"] = float(x - (source[1] - 1) / 2) / side
        values["y"] = float(y - (source[0] - 1) / 2) / side
        values["size"] = float(np.sqrt(abs(np.linalg.det(transform[:2, :2])))) / side
        everywhere = np.ones(grey.shape, dtype=np.bool_)
        values["shown"] = inside_share(transform, source, everywhere if mask is None else mask)
    return values


def likeness_edges(grey: NDArray[Any]) -> NDArray[np.float32]:
    """Edges of a part image, small, zero mean and unit norm."""
    size = (_LIKENESS_SIDE, _LIKENESS_SIDE)
    return edges_of(area_means(grey, size))


class Checks:
    """The checks of a complete recipe.

    Parameters
    ----------
    section : ChecksSection
        Ranges, or ``"off"``.
    arrays : mapping of str to ndarray
        ``likeness`` (mean edges of good parts) and ``usual`` (x, y, size of a good part).
    """

    def __init__(self, section: ChecksSection, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.edges = arrays.get(LIKENESS_ARRAY)
        self._usual = arrays.get("usual")
        self._ranges = {name: value for name, value in section if not isinstance(value, str)}

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def problem(self, values: Mapping[str, float], name: str) -> tuple[str, str] | None:
        """Reason and message why a part image cannot be judged, or ``None``.

        Parameters
        ----------
        values : mapping of str to float
            See :func:`measure`.
        name : str
            What to call the image.
        """
        checked = _relative(values, self._usual)
        for check, (below, above) in _SAYS.items():
            if check not in self._ranges or check not in checked:
                continue
            value = checked[check]
            low, high = self._ranges[check]
            says = below if value < low else above if value > high else None
            if says is not None or not np.isfinite(value):
                reason, words = says or (check, f"gives no {check}")
                detail = f"{check} {value:.4g}, good images {low:.4g} to {high:.4g}"
                return reason, f"{name}: the image {words} ({detail})"
        return None


def _relative(values: Mapping[str, float], usual: NDArray[Any] | None) -> dict[str, float]:
    """Measures as they are checked: place and scale against the usual ones."""
    checked = {name: value for name, value in values.items() if name in _SAYS}
    if usual is not None and "x" in values:
        checked["place"] = float(np.hypot(values["x"] - usual[0], values["y"] - usual[1]))
        checked["scale"] = values["size"] / float(usual[2])
    return checked


def strange(measured: Sequence[Mapping[str, float]]) -> list[int]:
    """Images that are no images of such parts at all, where they are few among the good ones.

    A good folder with a black frame in it must not teach that black is usual.

    Parameters
    ----------
    measured : sequence of mapping
        Of good images, see :func:`measure`.

    Returns
    -------
    list of int
        Indices of at most a twentieth of the images (of one in fewer); empty where more of them
        lie apart: then they are another kind of good part. Fewer than 8 images do not tell.
    """
    found: set[int] = set()
    if len(measured) < _ENOUGH:
        return []
    for name in _STRANGE_BY:
        if not all(name in values for values in measured):
            continue
        column = np.array([values[name] for values in measured])
        middle = float(np.median(column))
        if name == "likeness" and middle < _ALIKE:
            continue
        spread = _robust_spread(name, column, middle)
        found.update(np.flatnonzero(np.abs(column - middle) > _STRANGE * spread).tolist())
    return sorted(found) if len(found) <= max(1, int(_FEW_STRANGE * len(measured))) else []


def learn_checks(
    section: ChecksSection, measured: Sequence[Mapping[str, float]]
) -> tuple[ChecksSection, dict[str, NDArray[Any]]]:
    """Fill the checks that are left at ``"auto"``.

    Parameters
    ----------
    section : ChecksSection
    measured : sequence of mapping
        Of good part images, see :func:`measure`.

    Returns
    -------
    (section, arrays)
        Complete, and the usual place where parts are located.
    """
    arrays: dict[str, NDArray[Any]] = {}
    usual = None
    if measured and all("x" in values for values in measured):
        columns = [[values[key] for values in measured] for key in ("x", "y", "size")]
        usual = np.median(np.array(columns), axis=1)
        arrays["usual"] = usual
    relative = [_relative(values, usual) for values in measured]
    learned: dict[str, Any] = {}
    for name, value in section:
        if value != "auto":
            continue
        found = np.array([values[name] for values in relative if name in values])
        told = found.size and (name != "likeness" or np.median(found) >= _ALIKE)
        learned[name] = _range(name, found) if told else "off"
    return section.model_copy(update=learned), arrays


def _range(name: str, values: NDArray[np.float64]) -> tuple[float, float]:
    spread = _robust_spread(name, values, float(np.median(values)))
    low, high = float(values.min()), float(values.max())
    room = max(_DEVIATIONS * spread, _RANGE_SHARE * (high - low))
    return round(low - room, 5), round(high + room, 5)


def _robust_spread(name: str, values: NDArray[np.float64], middle: float) -> float:
    return max(1.4826 * float(np.median(np.abs(values - middle))), _LEAST_SPREAD[name])


def learn_edges(parts: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Mean edges of good part images, unit norm: what ``likeness`` compares with."""
    mean = np.mean([likeness_edges(grey_of(part)) for part in parts], axis=0)
    return np.asarray(mean / (np.linalg.norm(mean) + 1e-6), dtype=np.float32)
