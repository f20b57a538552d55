"""The one road from a source image to part images, used in training and on the line alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import ImageError
from goodpart.parts.align import create_aligner
from goodpart.parts.checks import Checks, measure
from goodpart.parts.find import create_finder
from goodpart.parts.masks import part_mask
from goodpart.parts.read import SourceImage
from goodpart.parts.views import Views, views_of, views_through
from goodpart.parts.warp import shown_mask, warp_part
from goodpart.recipe import Recipe

# Three channels that differ by no more than this on average are one grey channel seen through
# JPEG; real colour differs far more.
GREY_TOLERANCE = 4.0

# Where a part image reaches beyond its source: what does not count along the source's border.
# As far as a backbone's coarsest features see: nearer, what a held-out good part scores comes from
# pixels that its image does not show.
_BORDER_SHARE = 0.07

# Problems of pockets that still show a part.
_SEEN = ("cut off", "misplaced")


@dataclass(frozen=True)
class PartImage:
    """One part, ready for a detector.

    Parameters
    ----------
    pixels : ndarray, uint8 or (from deeper sources) float32 0..255, (H, W) or (H, W, 3) RGB
        ``None`` where the part could not be cut out.
    transform : ndarray of float64, (3, 3)
        Part image (x, y, 1) to source image.
    pocket : str, optional
        Place in the tray.
    mask : ndarray of bool, (H, W), optional
        True where pixels count; ``None``: everywhere.
    problem : (str, str), optional
        Reason and message why it cannot be judged.
    """

    pixels: NDArray[Any] | None
    transform: NDArray[np.float64]
    pocket: str | None = None
    mask: NDArray[np.bool_] | None = None
    problem: tuple[str, str] | None = None


def looks_grey(pixels: NDArray[Any]) -> bool:
    """Whether an image is grey: one channel, or three that agree within JPEG noise.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, (H, W) or (H, W, 3)
    """
    if pixels.ndim == 2:
        return True
    small = pixels[:: max(1, pixels.shape[0] // 128), :: max(1, pixels.shape[1] // 128)]
    red, green, blue = cv2.split(np.ascontiguousarray(small))
    spread = cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue)
    scale = 257.0 if pixels.dtype == np.uint16 else 1.0
    return bool(spread.mean() / scale <= GREY_TOLERANCE)


def to_eight_bit_range(pixels: NDArray[Any], white_level: int) -> NDArray[Any]:
    """Bring 16-bit pixels to float32 0..255 without dropping their low bits; 8-bit ones pass.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16
    white_level : int
        The 16-bit value that becomes 255.
    """
    if pixels.dtype == np.uint8:
        return pixels
    scaled = pixels.astype(np.float32) * np.float32(255.0 / white_level)
    return np.minimum(scaled, np.float32(255.0))


def resize_matrix(source: tuple[int, int], target: tuple[int, int]) -> NDArray[np.float64]:
    """The map of target to source pixels when an image is resized, both (height, width)."""
    sy, sx = source[0] / target[0], source[1] / target[1]
    return np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5], [0, 0, 1]], dtype=np.float64)


def resize_part(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize to (height, width): area averaging down, bilinear up. The only resizing there is."""
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=how)


@dataclass(frozen=True)
class RoadState:
    """What the road learned from good images besides the numbers in the recipe.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Saved with the model.
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """An image with one part: a whole source image, or what is cut out of a tray.

    Parameters
    ----------
    pixels : ndarray of uint8 or float32 0..255, (H, W) or (H, W, 3)
        Of the source image.
    matrix : ndarray of float64, (3, 3), or None
        Cut image to source image; ``None`` where it is the source image itself.
    size : (int, int)
        Height and width of the cut image.
    pocket : str or None
    problem : (str, str) or None
    """

    pixels: NDArray[Any]
    matrix: NDArray[np.float64] | None
    size: tuple[int, int]
    pocket: str | None = None
    problem: tuple[str, str] | None = None

    def views(self) -> Views:
        """The cut image at the working sizes in which the part is located."""
        if self.matrix is None:
            return views_of(self.pixels)
        return views_through(self.pixels, self.matrix, self.size)

    def to_source(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """A map into the cut image, carried on into the source image."""
        return matrix if self.matrix is None else self.matrix @ matrix


class Road:
    """Cut a source image into the part images that a recipe describes.

    Parameters
    ----------
    recipe : Recipe
        With nothing left at ``"auto"`` (see :func:`goodpart.fitting.complete_recipe`).
    state : RoadState, optional
        What was learned with that recipe.

    Attributes
    ----------
    mask : ndarray of bool, (H, W), or None
        True where pixels count in every part image; ``None``: everywhere. A part image that
        reaches beyond its source image has its own, smaller mask.
    aligned : bool
        Whether parts are located in their images.
    """

    def __init__(self, recipe: Recipe, state: RoadState | None = None) -> None:
        assert recipe.part.size != "auto" and recipe.input.white_level != "auto"
        self.recipe = recipe
        self.state = state or RoadState()
        arrays = self.state.arrays
        self._size = recipe.part.size
        self._white_level = recipe.input.white_level
        self._finder = create_finder(recipe.tray, arrays)
        self._aligner = create_aligner(recipe.align, arrays, self._size)
        self._checks = Checks(recipe.checks, arrays)
        self.aligned = self._aligner is not None
        self.mask = part_mask(recipe, arrays)

    def parts(self, image: SourceImage) -> list[PartImage]:
        """All part images of a source image, in the order of the recipe's pockets.

        A part that cannot be judged comes with its ``problem``; nothing is raised for it.
        """
        try:
            cuts = self.cuts(image)
        except ImageError as error:
            return [PartImage(None, np.eye(3), problem=(error.reason, str(error)))]
        return [self._part(cut, image.name) for cut in cuts]

    def cuts(self, image: SourceImage) -> list[Cut]:
        """The images with one part each, before alignment; never none.

        Raises
        ------
        ImageError
            With reason ``"color"``, see :func:`prepare_pixels`.
        """
        pixels = prepare_pixels(image, self.recipe.input.color, self._white_level)
        if self._finder is None:
            return [Cut(pixels, None, (pixels.shape[0], pixels.shape[1]))]
        found = self._finder.find(pixels, image.name)
        return [
            Cut(pixels, part.matrix, part.size, part.pocket, part.problem)
            for part in found
            if not part.allowed
        ]

    def align(self, cut: Cut) -> tuple[NDArray[Any], NDArray[np.float64]] | None:
        """The part image and its map into the cut image; ``None`` where it is not located."""
        if self._aligner is not None:
            location = self._aligner.locate(cut.views())
            if location is None:
                return None
            matrix = location.matrix
        else:
            matrix = resize_matrix(cut.size, self._size)
            if cut.matrix is None:
                return resize_part(cut.pixels, self._size), matrix
        return warp_part(cut.pixels, cut.to_source(matrix), self._size), matrix

    def _part(self, cut: Cut, name: str) -> PartImage:
        where = name if cut.pocket is None else f"{name} [{cut.pocket}]"
        if cut.problem is not None:
            transform = cut.to_source(resize_matrix(cut.size, self._size))
            pixels = None
            if cut.problem[0] in _SEEN:
                pixels = warp_part(cut.pixels, transform, self._size)
            return PartImage(pixels, transform, cut.pocket, self.mask, cut.problem)
        found = self.align(cut)
        if found is None:
            message = f"{where}: no part like the good ones is found in the image"
            transform = cut.to_source(resize_matrix(cut.size, self._size))
            return PartImage(None, transform, cut.pocket, problem=("not located", message))
        part, matrix = found
        problem = None
        if self._checks:
            values = measure(
                part,
                self.mask,
                transform=matrix,
                source=cut.size,
                aligned=self.aligned,
                edges=self._checks.edges,
            )
            problem = self._checks.problem(values, where)
        transform = cut.to_source(matrix)
        mask = self._mask_of(cut, transform)
        if problem is None and mask is not None and not mask.any():
            problem = ("cut off", f"{where}: the part lies outside the image")
        return PartImage(part, transform, cut.pocket, mask, problem)

    def _mask_of(self, cut: Cut, transform: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Where pixels count in this part image: not where it reaches beyond the source image."""
        if self._aligner is None and cut.matrix is None:
            return self.mask
        source = (cut.pixels.shape[0], cut.pixels.shape[1])
        shown = shown_mask(transform, source, self._size, _BORDER_SHARE * min(self._size))
        if shown is None or self.mask is None:
            return self.mask if shown is None else shown
        return np.asarray(shown & self.mask, dtype=np.bool_)


def prepare_pixels(image: SourceImage, color: str, white_level: int) -> NDArray[Any]:
    """Grey or colour as learned, 8-bit range.

    Parameters
    ----------
    image : SourceImage
    color : "grey" or "color"
    white_level : int
        See :func:`to_eight_bit_range`.

    Returns
    -------
    ndarray of uint8 or float32 0..255, (H, W) or (H, W, 3) RGB

    Raises
    ------
    ImageError
        With reason ``"color"``: colour where grey was learned, or the other way round.
    """
    pixels = image.pixels
    if color == "grey" and pixels.ndim == 3:
        if not looks_grey(pixels):
            raise ImageError("color", f"{image.name}: a colour image where grey ones were learned")
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    elif color == "color" and pixels.ndim == 2:
        raise ImageError("color", f"{image.name}: a grey image where colour ones were learned")
    return to_eight_bit_range(pixels, white_level)
