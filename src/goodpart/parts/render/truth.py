"""What a rendered picture shows, exactly: the ground truth of parts and trays.

Coordinates follow the house rule: pixel centres at integers, ``(x, y)`` order, y pointing down.
An angle is given in degrees and grows from x towards y, so it is clockwise as seen on the screen.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from goodpart.errors import RecipeError

Kind = Literal["cap", "notched", "tab"]
Defect = Literal["Bending", "Stain", "Reverse", "Scratch"]

KINDS: tuple[Kind, ...] = get_args(Kind)
DEFECTS: tuple[Defect, ...] = get_args(Defect)
NORMAL = "Normal"

Image = npt.NDArray[np.uint8]


def check_kind(kind: str) -> None:
    """Raise :class:`~goodpart.errors.RecipeError` unless `kind` is one of :data:`KINDS`."""
    if kind not in KINDS:
        raise RecipeError(f"kind '{kind}' cannot be rendered: choose one of {', '.join(KINDS)}")


def check_defect(defect: str) -> None:
    """Raise :class:`~goodpart.errors.RecipeError` unless `defect` is one of :data:`DEFECTS`."""
    if defect not in DEFECTS:
        raise RecipeError(
            f"defect '{defect}' cannot be rendered: choose one of {', '.join(DEFECTS)}"
        )


@dataclass(frozen=True)
class PartTruth:
    """Where a rendered part lies and what is wrong with it.

    Attributes
    ----------
    kind : {"cap", "notched", "tab"}
    label : str
        ``"Normal"`` or the class of the defect.
    severity : float or None
        0 (a person just sees it) to 1 (obvious); None for a normal part.
    centre : (float, float)
        Centre of the undeformed outline, in pixels; may lie outside the image.
    radius : float
        Pixels per unit of the part's own coordinates: the radius of a round part, half the length
        of a tab, before the slant.
    axes : (float, float)
        Semi-axes in pixels of the unit circle after the slant, the longer first. For a round part
        that is its outline; for a tab the circle through the ends of its long axis.
    axes_angle : float
        Direction of the longer axis in degrees, within [0, 180).
    angle : float
        How far the part is turned in its own plane, in degrees within [-180, 180).
    matrix : tuple of 3 tuples of 3 floats
        Homogeneous matrix from part coordinates (centre at the origin, outline at distance 1) to
        pixels. A part lying upside down is mirrored (y to -y) in its own coordinates first.
    """

    kind: Kind
    label: str
    severity: float | None
    centre: tuple[float, float]
    radius: float
    axes: tuple[float, float]
    axes_angle: float
    angle: float
    matrix: tuple[tuple[float, float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that JSON takes."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class PocketTruth:
    """One pocket of a rendered tray.

    Attributes
    ----------
    name : str
        The pocket's name in the layout.
    pocket : (float, float)
        Centre of the pocket itself, in pixels; the part lies near it.
    empty, cut_off, touching : bool
        No part in it; the part crosses the border of the image; it touches its neighbour.
    visible : float
        Share of the part's area inside the image, 0 to 1 (0 for an empty pocket).
    part : PartTruth or None
        None for an empty pocket.
    """

    name: str
    pocket: tuple[float, float]
    empty: bool
    cut_off: bool
    touching: bool
    visible: float
    part: PartTruth | None


@dataclass(frozen=True)
class TrayTruth:
    """All pockets of a rendered tray, in the layout's order.

    Attributes
    ----------
    size : (int, int)
        Width and height in pixels.
    kind : {"cap", "notched", "tab"}
    label : str
        ``"Normal"``, or the class of its defective parts (the first, if there are several).
    pockets : tuple of PocketTruth
    """

    size: tuple[int, int]
    kind: Kind
    label: str
    pockets: tuple[PocketTruth, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that JSON takes."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class RenderedPart:
    """A rendered part image.

    Attributes
    ----------
    image : (H, W) uint8
    mask : (H, W) uint8
        255 where the defect changes the picture, 0 elsewhere; all 0 for a normal part.
    truth : PartTruth
    """

    image: Image
    mask: Image
    truth: PartTruth


@dataclass(frozen=True)
class RenderedTray:
    """A rendered tray image; `image` and `mask` are (H, W) uint8, `mask` as for a part."""

    image: Image
    mask: Image
    truth: TrayTruth
