"""Contact sheets: many small pictures with captions on one page, to be looked over quickly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 180
GAP = 10
LINE = 15
LETTERS = 27


def contact_sheet(
    entries: Iterable[tuple[NDArray[Any], str]], *, columns: int = 6
) -> NDArray[np.uint8]:
    """Draw pictures in rows, each with its caption below.

    Parameters
    ----------
    entries : iterable of (ndarray, str)
        Pictures, uint8 or float32 0..255, (H, W) or (H, W, 3) RGB, and captions; lines are
        divided at ``"\\n"`` and cut where they are too long.
    columns : int

    Returns
    -------
    ndarray of uint8, (H, W, 3) RGB

    Raises
    ------
    ValueError
        There are no entries.
    """
    from PIL import Image, ImageDraw, ImageFont

    tiles = [(_fit(pixels), caption.split("\n")) for pixels, caption in entries]
    if not tiles:
        raise ValueError("a contact sheet needs at least one picture")
    columns = min(columns, len(tiles))
    lines = max(len(caption) for _, caption in tiles)
    step_x, step_y = SIDE + GAP, SIDE + GAP + LINE * lines
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * step_y + GAP, columns * step_x + GAP, 3), 255, dtype=np.uint8)
    for place, (tile, _) in enumerate(tiles):
        y, x = GAP + place // columns * step_y, GAP + place % columns * step_x
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    canvas = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for place, (_, caption) in enumerate(tiles):
        y, x = GAP + place // columns * step_y, GAP + place % columns * step_x
        for row, line in enumerate(caption):
            # The built-in font knows Latin letters alone.
            text = _shorten(line).encode("latin-1", "replace").decode("latin-1")
            draw.text((x, y + SIDE + 2 + row * LINE), text, fill=(40, 40, 40), font=font)
    return np.array(canvas)


def _fit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    scale = SIDE / max(pixels.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in (pixels.shape[1], pixels.shape[0]))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    small = np.asarray(cv2.resize(pixels, size, interpolation=how))
    if small.ndim == 2:
        small = np.repeat(small[..., None], 3, axis=2)
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def _shorten(line: str) -> str:
    if len(line) <= LETTERS:
        return line
    half = (LETTERS - 1) // 2
    return f"{line[:half]}~{line[-half:]}"
