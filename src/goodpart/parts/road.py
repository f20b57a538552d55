"""The one road from a source image to part images, used in training and on the line alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import ImageError
from goodpart.parts.align import create_aligner
from goodpart.parts.read import SourceImage
from goodpart.parts.views import views_of
from goodpart.parts.warp import warp_part
from goodpart.recipe import Recipe

# Three channels that differ by no more than this on average are one grey channel seen through
# JPEG; real colour differs far more.
GREY_TOLERANCE = 4.0


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
    small = pixels[:: max(1, pixels.shape[0] // 256), :: max(1, pixels.shape[1] // 256)]
    wide = small.astype(np.float32)
    spread = wide.max(axis=2) - wide.min(axis=2)
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
        True where pixels count, the same for every part; ``None``: everywhere.
    """

    def __init__(self, recipe: Recipe, state: RoadState | None = None) -> None:
        assert recipe.part.size != "auto" and recipe.input.white_level != "auto"
        assert recipe.align.method != "auto"
        self.recipe = recipe
        self.state = state or RoadState()
        self._size = recipe.part.size
        self._white_level = recipe.input.white_level
        self._aligner = create_aligner(recipe.align, self.state.arrays, self._size)
        self.mask = background_mask(recipe)

    def parts(self, image: SourceImage) -> list[PartImage]:
        """All part images of a source image, in the order of the recipe's pockets.

        A part that cannot be judged comes with its ``problem``; nothing is raised for it.
        """
        try:
            pixels = prepare_pixels(image, self.recipe.input.color, self._white_level)
        except ImageError as error:
            return [PartImage(None, np.eye(3), problem=(error.reason, str(error)))]
        if self._aligner is None:
            transform = resize_matrix((pixels.shape[0], pixels.shape[1]), self._size)
            return [PartImage(resize_part(pixels, self._size), transform, mask=self.mask)]
        location = self._aligner.locate(views_of(pixels))
        if location is None:
            message = f"{image.name}: no part like the good ones is found in the image"
            return [PartImage(None, np.eye(3), problem=("not located", message))]
        part = warp_part(pixels, location.matrix, self._size)
        return [PartImage(part, location.matrix, mask=self.mask)]


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


def background_mask(recipe: Recipe) -> NDArray[np.bool_] | None:
    """The part's outline and its margin, where an outline was found and background is ignored."""
    outline = recipe.align.outline
    if outline is None or recipe.mask.background == "count":
        return None
    assert recipe.part.size != "auto"
    height, width = recipe.part.size
    rows, columns = np.ogrid[:height, :width]
    squared = (rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2
    return np.asarray(squared <= (outline * (1 + recipe.mask.margin)) ** 2, dtype=np.bool_)
