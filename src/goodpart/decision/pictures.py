"""Pictures of one inspection: heatmap with colour bar, histogram, overlay with regions.

Drawn with numpy, OpenCV and Pillow alone (a few milliseconds, no matplotlib), because the line
draws them for every part. The colour scale is fixed by the limits, never stretched to the picture
at hand: the same colour means the same score on every part, and a good part stays pale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.decision.inspection import Inspection, Limits, Verdict
from goodpart.drawing import VERDICT_COLORS, as_picture
from goodpart.errors import RecipeError

Picture = NDArray[np.uint8]

# Drawings have few colours and large even areas: without a filter they become smaller, three times
# as fast as with the choice among all filters that is OpenCV's default.
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]

SMALLEST_SIDE = 320
HISTOGRAM_SIZE = (360, 640)
HISTOGRAM_BINS = 256

# Anchor colours of sequential maps (ColorBrewer 2.0, Cynthia Brewer, Apache-style licence).
_ANCHORS = {
    "Reds": "fff5f0 fee0d2 fcbba1 fc9272 fb6a4a ef3b2c cb181d a50f15 67000d",
    "Blues": "f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b",
    "Greys": "ffffff f0f0f0 d9d9d9 bdbdbd 969696 737373 525252 252525 000000",
}
_OPENCV = {
    "inferno": cv2.COLORMAP_INFERNO,
    "jet": cv2.COLORMAP_JET,
    "turbo": cv2.COLORMAP_TURBO,
    "viridis": cv2.COLORMAP_VIRIDIS,
}
COLOR_MAPS = (*_ANCHORS, *_OPENCV)


@cache
def color_table(name: str) -> Picture:
    """The 256 colours of a colour map.

    Parameters
    ----------
    name : str
        One of :data:`COLOR_MAPS`.

    Returns
    -------
    ndarray of uint8, (256, 3) RGB, read-only

    Raises
    ------
    RecipeError
        There is no such colour map.
    """
    if name in _ANCHORS:
        anchors = np.array([list(bytes.fromhex(code)) for code in _ANCHORS[name].split()])
        places = np.linspace(0, 255, len(anchors))
        columns = [np.interp(np.arange(256), places, anchors[:, c]) for c in range(3)]
        table = np.stack(columns, axis=1).round().astype(np.uint8)
    elif name in _OPENCV:
        ramp = np.arange(256, dtype=np.uint8).reshape(256, 1)
        table = np.asarray(cv2.applyColorMap(ramp, _OPENCV[name])[:, 0, ::-1], dtype=np.uint8)
    else:
        raise RecipeError(f"no colour map is called {name!r}; there are: {', '.join(COLOR_MAPS)}")
    table = np.ascontiguousarray(table)
    table.setflags(write=False)
    return table


@dataclass(frozen=True)
class HeatScale:
    """What the colours stand for.

    Parameters
    ----------
    low, high : float
        Scores of the first and the last colour; beyond them colours do not change.
    limits : Limits, optional
        Marked on the colour bar.
    """

    low: float
    high: float
    limits: Limits | None = None

    def place(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Row of the colour table for each value; what is not finite counts as the lowest."""
        span = max(self.high - self.low, 1e-12)
        steps = np.nan_to_num((values - self.low) * (255.0 / span), nan=0.0, posinf=255, neginf=0)
        return np.clip(np.rint(steps), 0, 255).astype(np.uint8)


def heat_scale(limits: Limits, level: float) -> HeatScale:
    """The scale of a model: from half the level of regions, with the limit in the middle.

    Nearly all pixels of good parts lie below the level, so that a good part stays pale and what
    is unusual about it, though not enough for a verdict, still shows.

    Parameters
    ----------
    limits : Limits
    level : float
        Above it a pixel may belong to a region.
    """
    middle = limits.ng
    low = min(level, level / 2)
    if low >= middle:
        low = middle - max(abs(middle) / 2, 1e-6)
    return HeatScale(low, 2 * middle - low, limits)


def color_map(score_map: NDArray[np.float32], scale: HeatScale, cmap: str = "Reds") -> Picture:
    """A score map in colours, (H, W, 3) RGB, without anything around it."""
    # take() is four times as fast as indexing, and this is drawn for every part.
    return color_table(cmap).take(scale.place(score_map), axis=0)


def render_heatmap(score_map: NDArray[np.float32], scale: HeatScale, cmap: str = "Reds") -> Picture:
    """A score map in colours, with a colour bar on which the limits are marked.

    Parameters
    ----------
    score_map : ndarray of float32, (H, W)
    scale : HeatScale
    cmap : str
        One of :data:`COLOR_MAPS`.

    Returns
    -------
    ndarray of uint8, (H', W', 3) RGB
        The map at its own size (small ones enlarged by a whole factor) and the bar beside it.
    """
    table = color_table(cmap)
    factor = max(1, -(-SMALLEST_SIDE // max(1, min(score_map.shape))))
    colored = color_map(score_map, scale, cmap)
    if factor > 1:
        colored = colored.repeat(factor, axis=0).repeat(factor, axis=1)
    height = colored.shape[0]
    size = _text_size(height)
    labels = [(scale.low, _number(scale.low)), (scale.high, _number(scale.high))]
    if scale.limits is not None:
        labels += [(value, f"{word} {_number(value)}") for word, value in _named(scale.limits)]
    widest = max(_font(size).getlength(text) for _, text in labels)
    margin, strip, room = size, max(10, round(size * 1.4)), round(widest) + 12
    bar = np.full((height, margin + strip + room, 3), 255, dtype=np.uint8)
    ramp = np.linspace(255, 0, height - 2 * margin).round().astype(np.uint8)
    bar[margin : height - margin, margin : margin + strip] = table[ramp][:, None]
    picture = np.concatenate([colored, bar], axis=1)
    left = colored.shape[1] + margin
    texts = []
    for value, text in labels:
        share = float(np.clip((value - scale.low) / (scale.high - scale.low), 0, 1))
        row = round(margin + (1 - share) * (height - 2 * margin - 1))
        cv2.line(picture, (left, row), (left + strip + 3, row), (40, 40, 40), 1)
        texts.append((left + strip + 6, row, text))
    return _write(picture, texts, size)


def render_histogram(
    score_map: NDArray[np.float32],
    scale: HeatScale,
    *,
    score: float | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Picture:
    """How many pixels have which score, on a logarithmic axis, with the limits drawn.

    Parameters
    ----------
    score_map : ndarray of float32, (H, W)
    scale : HeatScale
        The axis runs from zero (or the lowest limit below it) to its high end; the last of the
        256 bins takes everything above.
    score : float, optional
        Marked with a triangle.
    mask : ndarray of bool, (H, W), optional
        True where pixels count.

    Returns
    -------
    ndarray of uint8, (360, 640, 3) RGB
    """
    height, width = HISTOGRAM_SIZE
    left, right, top, bottom = 56, 20, 30, 44
    picture = np.full((height, width, 3), 255, dtype=np.uint8)
    low, high = min(0.0, scale.low), scale.high
    values = score_map[np.isfinite(score_map)] if mask is None else score_map[mask]
    places = np.clip((values - low) * (HISTOGRAM_BINS / (high - low)), 0, HISTOGRAM_BINS - 1)
    counts = np.bincount(places.astype(np.int64), minlength=HISTOGRAM_BINS)
    plot_width, plot_height = width - left - right, height - top - bottom
    decades = max(1, int(np.ceil(np.log10(max(counts.max(), 1) + 1))))
    rows = np.rint(np.log10(counts + 1) / decades * plot_height).astype(int)
    columns = np.arange(plot_width) * HISTOGRAM_BINS // plot_width
    filled = np.arange(plot_height)[::-1, None] < rows[columns][None, :]
    window = picture[top : top + plot_height, left : left + plot_width]
    window[filled] = (96, 125, 160)

    def column(value: float) -> int:
        share = float(np.clip((value - low) / (high - low), 0, 1))
        return left + round(share * (plot_width - 1))

    base = top + plot_height
    texts: list[tuple[int, int, str]] = []
    for decade in range(decades + 1):
        row = base - round(decade / decades * plot_height)
        cv2.line(picture, (left - 4, row), (left - 1, row), (90, 90, 90), 1)
        texts.append((8, row, f"{10**decade:,}" if decade < 4 else f"1e{decade}"))
    cv2.line(picture, (left - 1, top), (left - 1, base), (90, 90, 90), 1)
    cv2.line(picture, (left - 1, base), (left + plot_width, base), (90, 90, 90), 1)
    for value in (low, high):
        texts.append((column(value) - (24 if value == high else 4), base + 14, _number(value)))
    if scale.limits is not None:
        for word, value in _named(scale.limits):
            x = column(value)
            cv2.line(picture, (x, top), (x, base), (200, 30, 40), 1)
            texts.append((x - 18, base + 14, f"{word} {_number(value)}"))
    if score is not None and np.isfinite(score):
        x = column(score)
        triangle = np.array([[x, base - 2], [x - 6, base - 14], [x + 6, base - 14]])
        cv2.fillPoly(picture, [triangle], (20, 20, 20))
        texts.append((left, 14, f"score {_number(score)}"))
    texts.append((left + plot_width // 2 - 70, base + 32, "score of a pixel (count, log)"))
    return _write(picture, texts, 12)


def render_overlay(inspection: Inspection, scale: HeatScale, cmap: str = "Reds") -> Picture | None:
    """The part image with its heat laid over it and the regions drawn as contours.

    Parameters
    ----------
    inspection : Inspection
    scale : HeatScale
    cmap : str

    Returns
    -------
    ndarray of uint8, (H, W, 3) RGB, or None where there is no part image
    """
    if inspection.image is None:
        return None
    picture, _ = as_picture(inspection.image)
    score_map = inspection.score_map
    if score_map is not None:
        heat = scale.place(score_map)
        # Paler than the first quarter of the scale is not shown: it would only veil the part.
        weight = np.clip((heat.astype(np.float32) - 64) / 128, 0, 1)[..., None] * 0.6
        mixed = picture * (1 - weight) + color_table(cmap)[heat] * weight
        picture = mixed.astype(np.uint8)
    thickness = max(1, round(min(picture.shape[:2]) / 256))
    color = VERDICT_COLORS[inspection.verdict.value]
    for region in inspection.regions:
        outline = np.array(region.contour, dtype=np.int32).reshape(-1, 1, 2)
        if len(outline):
            cv2.polylines(picture, [outline], True, color, thickness, cv2.LINE_AA)
    return picture


def png_bytes(picture: Picture) -> bytes:
    """A uint8 picture, (H, W) or (H, W, 3) RGB, as a PNG file."""
    pixels = picture if picture.ndim == 2 else picture[..., ::-1]
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels), PNG)
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    return data.tobytes()


def result_text(inspection: Inspection) -> str:
    """The text of ``result.txt``: only OK is Good; the verdict and its reason follow."""
    word = "Good" if inspection.verdict is Verdict.OK else "Bad"
    lines = [f"result : {word}", f"verdict : {inspection.verdict}"]
    if inspection.score is not None:
        lines.append(f"score : {inspection.score:.6g}")
    if inspection.reason:
        lines.append(f"reason : {inspection.reason}")
    return "\n".join(lines) + "\n"


def _named(limits: Limits) -> list[tuple[str, float]]:
    if limits.ok == limits.ng:
        return [("limit", limits.ng)]
    return [("ok", limits.ok), ("ng", limits.ng)]


def _number(value: float) -> str:
    return f"{value:.3g}"


def _text_size(height: int) -> int:
    return int(np.clip(height // 30, 12, 40))


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _write(picture: Picture, texts: list[tuple[int, int, str]], size: int) -> Picture:
    """Write texts, each centred vertically on its row."""
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    for x, y, text in texts:
        draw.text((x, y), text, fill=(40, 40, 40), font=_font(size), anchor="lm")
    return np.asarray(canvas)
