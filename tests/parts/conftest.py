"""Drawn parts with exact positions for the tests of alignment, and small rendered trays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from goodpart.parts.find import TrayFinder, create_finder
from goodpart.parts.learn_tray import learn_tray
from goodpart.parts.render import RenderedTray, render_tray
from goodpart.recipe import TraySection

# A third of a camera image's width.
TRAY_SIZE = (816, 683)


def draw_rings(
    *,
    size: tuple[int, int] = (256, 256),
    center: tuple[float, float] = (127.5, 127.5),
    radius: float = 60.0,
    stretch: float = 1.0,
    angle: float = 0.0,
    notch: float | None = None,
    light: float = 1.0,
    noise: float = 2.0,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """A bright disc of ``1.6 * radius`` with a dark ring inside ``radius`` and a hub.

    ``stretch`` lengthens the axis at ``angle`` (radians); ``notch`` is the angle of a bright bar.
    """
    height, width = size
    scale = 4
    ys, xs = np.mgrid[: height * scale, : width * scale] / scale - (scale - 1) / (2 * scale)
    x, y = xs - center[0], ys - center[1]
    c, s = np.cos(angle), np.sin(angle)
    along, across = (c * x + s * y) / stretch, -s * x + c * y
    back_x, back_y = c * along - s * across, s * along + c * across
    r = np.hypot(back_x, back_y) / radius
    picture = np.full(r.shape, 60.0)
    picture[r < 1.6] = 170.0
    picture[r < 1.0] = 40.0
    picture[r < 0.45] = 140.0
    if notch is not None:
        t = np.arctan2(back_y, back_x)
        apart = np.abs(np.angle(np.exp(1j * (t - notch))))
        picture[(apart < 0.25) & (r > 1.15) & (r < 1.45)] = 90.0
    small = cv2.resize(picture * light, (width, height), interpolation=cv2.INTER_AREA)
    grain = np.random.default_rng(seed).normal(0, noise, small.shape)
    return np.clip(np.round(small + grain), 0, 255).astype(np.uint8)


def draw_tab(
    *,
    size: tuple[int, int] = (256, 256),
    center: tuple[float, float] = (127.5, 127.5),
    angle: float = 0.0,
    noise: float = 2.0,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """A bright plate with two dark holes and a slot: looks like itself at one angle only."""
    height, width = size
    scale = 4
    ys, xs = np.mgrid[: height * scale, : width * scale] / scale - (scale - 1) / (2 * scale)
    x, y = xs - center[0], ys - center[1]
    c, s = np.cos(angle), np.sin(angle)
    u, v = c * x + s * y, -s * x + c * y
    picture = np.full(u.shape, 50.0)
    picture[(np.abs(u) < 80) & (np.abs(v) < 45)] = 180.0
    picture[np.hypot(u + 50, v + 15) < 14] = 60.0
    picture[(np.abs(u - 45) < 20) & (np.abs(v - 20) < 8)] = 90.0
    picture[np.hypot(u - 55, v + 22) < 8] = 230.0
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    grain = np.random.default_rng(seed).normal(0, noise, small.shape)
    return np.clip(np.round(small + grain), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def rings() -> Callable[..., NDArray[np.uint8]]:
    """Draws a round part, see :func:`draw_rings`."""
    return draw_rings


@pytest.fixture(scope="session")
def tab() -> Callable[..., NDArray[np.uint8]]:
    """Draws a part that is not round, see :func:`draw_tab`."""
    return draw_tab


@cache
def _tray(kind: str, seed: int, **options) -> RenderedTray:
    return render_tray(kind, np.random.default_rng(seed), size=TRAY_SIZE, **options)


@cache
def _learned(kind: str) -> TrayFinder:
    trays = [_tray(kind, 100 + seed) for seed in range(4)]
    section = TraySection(mode="none" if kind == "cap" else "template")
    section, arrays = learn_tray(section, len(trays), lambda index: trays[index].image)
    finder = create_finder(section, arrays)
    assert finder is not None
    return finder


@pytest.fixture(scope="session")
def tray():
    """``tray(kind, seed, **options)``: a rendered tray of five parts, 816 x 683."""
    return _tray


@pytest.fixture(scope="session")
def learned():
    """``learned(kind)``: a finder learned from four full trays."""
    return _learned


@pytest.fixture(scope="session")
def finder_with():
    """``finder_with(kind, **changes)``: the learned finder with other settings."""

    def change(kind: str, **changes) -> TrayFinder:
        base = _learned(kind)
        return TrayFinder(base.section.model_copy(update=changes), base.spots)

    return change
