"""Grey fields, the raw material of drawn images: noise, stripes, weaves, rings, cells, shading.

Every function takes a ``numpy.random.Generator`` and a side length in pixels and returns a
float32 array (size, size). :func:`unit` brings a field to zero mean and unit deviation, so that
whoever uses it decides the contrast.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Field = np.ndarray
Rng = np.random.Generator

_GRIDS: dict[int, tuple[Field, Field]] = {}
_FREQUENCIES: dict[int, tuple[Field, Field]] = {}


def grid(size: int) -> tuple[Field, Field]:
    """x and y of every pixel, float32 (size, size)."""
    if size not in _GRIDS:
        y, x = np.mgrid[:size, :size].astype(np.float32)
        _GRIDS[size] = (x, y)
    return _GRIDS[size]


def unit(field: Field) -> Field:
    """The same field with mean 0 and standard deviation 1 (a flat field becomes 0)."""
    field = field - field.mean()
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """A number between ``low`` and ``high``, each factor as likely as any other."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def white(rng: Rng, size: int) -> Field:
    """White Gaussian noise."""
    return rng.standard_normal((size, size), np.float32)


def power_noise(rng: Rng, size: int) -> Field:
    """Noise with a 1/f^b spectrum, like natural scenes (b about 1), often with a direction."""
    if size not in _FREQUENCIES:
        fy = np.fft.fftfreq(size).astype(np.float32)[:, None]
        fx = np.fft.rfftfreq(size).astype(np.float32)[None, :]
        _FREQUENCIES[size] = (fx, fy)
    fx, fy = _FREQUENCIES[size]
    if rng.random() < 0.4:
        angle, stretch = rng.uniform(0, np.pi), log_uniform(rng, 2, 20)
        c, s = np.cos(angle), np.sin(angle)
        fx, fy = (c * fx + s * fy) * stretch, c * fy - s * fx
    radius = np.sqrt(fx * fx + fy * fy) + 1 / size
    spectrum = np.fft.rfft2(white(rng, size)) * radius ** -rng.uniform(0.5, 2.2)
    return np.asarray(np.fft.irfft2(spectrum, s=(size, size)), np.float32)


def scale_noise(rng: Rng, size: int) -> Field:
    """A few octaves of smooth random grids; sometimes folded into veins or levels."""
    field = np.zeros((size, size), np.float32)
    cells, weight = log_uniform(rng, 2, 40), 1.0
    for _ in range(rng.integers(1, 5)):
        n = max(2, min(size, round(cells)))
        coarse = rng.standard_normal((n + 1, n + 1), np.float32)
        field += weight * cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * rng.uniform(1.7, 2.5), weight * rng.uniform(0.3, 0.8)
    fold = rng.random()
    if fold < 0.2:
        return np.asarray(np.abs(field), np.float32)
    if fold < 0.35:
        return np.asarray(np.tanh(4 * field), np.float32)
    return field


def grain(rng: Rng, size: int) -> Field:
    """Cast or sand-blasted surface: band-passed noise, lit from one side, some with pits."""
    noise = cv2.GaussianBlur(white(rng, size), (0, 0), log_uniform(rng, 0.6, 4))
    angle = rng.uniform(0, 2 * np.pi)
    lit = cv2.Sobel(noise, cv2.CV_32F, 1, 0) * np.cos(angle)
    lit += cv2.Sobel(noise, cv2.CV_32F, 0, 1) * np.sin(angle)
    field = unit(lit) * rng.uniform(0, 1) + unit(noise) * rng.uniform(0, 1)
    if rng.random() < 0.3:
        field = field - np.maximum(unit(noise) - rng.uniform(1.5, 2.5), 0) * 3
    return np.asarray(field, np.float32)


def warp(rng: Rng, size: int, amount: float) -> tuple[Field, Field]:
    """Pixel coordinates pushed about smoothly by ``amount`` pixels (deviation)."""
    x, y = grid(size)
    n = int(rng.integers(2, 8))
    push = cv2.resize(
        rng.standard_normal((n, n, 2)).astype(np.float32),
        (size, size),
        interpolation=cv2.INTER_CUBIC,
    )
    return x + amount * push[..., 0], y + amount * push[..., 1]


def wave(rng: Rng, phase: Field) -> Field:
    """A sine, square, triangle or pulse wave of a phase in cycles, with soft edges."""
    kind = rng.random()
    fraction = phase - np.floor(phase)
    if kind < 0.3:
        return np.asarray(np.sin(2 * np.pi * phase), np.float32)
    distance = np.abs(2 * fraction - 1)
    if kind < 0.4:
        return np.asarray(distance, np.float32)
    duty = rng.uniform(0.1, 0.9)
    return np.asarray(np.clip((distance - duty) * log_uniform(rng, 3, 30), -1, 1), np.float32)


def stripes(rng: Rng, size: int) -> Field:
    """Parallel lines of any period and angle, straight or wavering."""
    x, y = warp(rng, size, log_uniform(rng, 0.05, 6))
    angle, period = rng.uniform(0, np.pi), log_uniform(rng, 3, 60)
    return wave(rng, (np.cos(angle) * x + np.sin(angle) * y) / period + rng.random())


def mesh(rng: Rng, size: int) -> Field:
    """Two sets of lines: grids, meshes, weaves, knurls."""
    x, y = warp(rng, size, log_uniform(rng, 0.05, 3))
    angle, period = rng.uniform(0, np.pi), log_uniform(rng, 4, 50)
    other = angle + (np.pi / 2 if rng.random() < 0.7 else rng.uniform(0.3, 2.8))
    aspect = 1.0 if rng.random() < 0.5 else rng.uniform(0.5, 2)
    a = (np.cos(angle) * x + np.sin(angle) * y) / period + rng.random()
    b = (np.cos(other) * x + np.sin(other) * y) / (period * aspect) + rng.random()
    kind = rng.random()
    if kind < 0.35:
        return np.maximum(wave(rng, a), wave(rng, b))
    if kind < 0.55:
        return wave(rng, a) * wave(rng, b)
    if kind < 0.75:
        return wave(rng, a) + wave(rng, b)
    over = (np.floor(a) + np.floor(b)) % 2 > 0  # a plain weave: each thread passes over, then under
    return np.where(over, np.sin(np.pi * (a % 1)), np.sin(np.pi * (b % 1))).astype(np.float32)


def _profile(rng: Rng, position: Field, reach: float) -> Field:
    """A random one-dimensional profile read at a position in pixels."""
    line = np.cumsum(rng.standard_normal(1024).astype(np.float32))
    line -= cv2.blur(line[None], (int(rng.integers(5, 200)), 1))[0]
    if rng.random() < 0.5:
        line += rng.standard_normal(1024).astype(np.float32) * line.std()
    index = np.clip(position * (1023 / reach), 0, 1023).astype(np.float32)
    return np.asarray(
        cv2.remap(line[None], index, np.zeros_like(index), cv2.INTER_LINEAR), np.float32
    )


def centre(rng: Rng, size: int) -> tuple[float, float]:
    """A point in or a little outside the image."""
    x, y = rng.uniform(-0.3, 1.3, 2) * size
    return float(x), float(y)


def rings(rng: Rng, size: int) -> Field:
    """Concentric rings: turned metal, regular or not."""
    x, y = warp(rng, size, rng.choice([0.0, 0.3, 2.0]))
    cx, cy = centre(rng, size)
    radius = np.hypot(x - cx, y - cy)
    if rng.random() < 0.5:
        return wave(rng, radius / log_uniform(rng, 3, 60) + rng.random())
    return _profile(rng, radius, 2 * size)


def brushed(rng: Rng, size: int) -> Field:
    """Brushed or ground metal: streaks along a line, round a centre or out from it."""
    x, y = grid(size)
    kind = rng.random()
    if kind < 0.5:
        angle = rng.uniform(0, np.pi)
        across = np.cos(angle) * x + np.sin(angle) * y
        streak = _profile(rng, across - across.min(), 1.5 * size)
    elif kind < 0.8:
        cx, cy = centre(rng, size)
        turn = np.arctan2(y - cy, x - cx) / (2 * np.pi) + 0.5
        streak = _profile(rng, turn, 1.0)
    else:
        streak = rings(rng, size)
    return unit(streak) + rng.uniform(0, 1) * unit(power_noise(rng, size))


def cells(rng: Rng, size: int) -> Field:
    """Voronoi cells: crystals, scales, pebbles; flat, domed or outlined."""
    marks = np.ones((size, size), np.uint8)
    count = int(log_uniform(rng, 6, 500))
    marks[rng.integers(0, size, count), rng.integers(0, size, count)] = 0
    distance, labels = cv2.distanceTransformWithLabels(
        marks, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    tone = rng.standard_normal(count + 1).astype(np.float32)[labels]
    kind = rng.random()
    if kind < 0.4:
        return np.asarray(tone, np.float32)
    if kind < 0.7:
        return np.asarray(unit(distance) + tone * rng.uniform(0, 0.6), np.float32)
    edge = (cv2.Laplacian(tone, cv2.CV_32F) != 0).astype(np.float32)
    return cv2.GaussianBlur(edge, (0, 0), rng.uniform(0.6, 1.5))


def blobs(rng: Rng, size: int) -> Field:
    """Smooth noise cut at a level: spots, islands, pores."""
    noise = unit(cv2.GaussianBlur(white(rng, size), (0, 0), log_uniform(rng, 1.5, 12)))
    return np.asarray(np.tanh((noise - rng.uniform(-0.5, 2)) * log_uniform(rng, 1, 15)), np.float32)


def gradient(rng: Rng, size: int) -> Field:
    """Light that falls off along a line or from a point."""
    x, y = grid(size)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        return np.asarray(np.cos(angle) * x + np.sin(angle) * y, np.float32)
    cx, cy = centre(rng, size)
    return np.asarray(-(np.hypot(x - cx, y - cy) ** rng.uniform(0.7, 2)), np.float32)


def lattice(rng: Rng, size: int) -> Field:
    """A periodic pattern of two or three directions: perforated and expanded metal, honeycomb."""
    x, y = warp(rng, size, log_uniform(rng, 0.05, 4))
    angle, period, stretch = (
        rng.uniform(0, np.pi),
        log_uniform(rng, 5, 60),
        log_uniform(rng, 0.4, 1),
    )
    u = (np.cos(angle) * x + np.sin(angle) * y) / period
    v = (np.cos(angle) * y - np.sin(angle) * x) / (period * stretch)
    if rng.random() < 0.35:
        u = u + rng.uniform(0.02, 0.3) * np.sin(2 * np.pi * v + rng.uniform(0, 6))
    turns = np.arange(3) * np.pi / 3 if rng.random() < 0.4 else np.array([1, -1]) * np.pi / 4
    waves = np.stack([np.cos(2 * np.pi * (np.cos(t) * u + np.sin(t) * v)) for t in turns])
    kind = rng.random()
    field = waves.max(0) if kind < 0.4 else waves.sum(0) if kind < 0.8 else waves.prod(0)
    field = unit(field)
    if rng.random() < 0.75:
        field = np.tanh((field - rng.uniform(-1.2, 1.2)) * log_uniform(rng, 1, 12))
    return np.asarray(field, np.float32)


def streaks(rng: Rng, size: int) -> Field:
    """Drawn, rolled or ground metal: fine lines along one direction, some bright, over a grain."""
    long, short = log_uniform(rng, 4, 60), log_uniform(rng, 0.3, 1.5)
    field = unit(cv2.GaussianBlur(white(rng, size), (0, 0), sigmaX=short, sigmaY=long))
    lines = cv2.GaussianBlur(rng.standard_normal((1, size)).astype(np.float32), (0, 0), 0.8)
    lines = np.sign(lines) * np.abs(unit(lines)) ** rng.uniform(1, 3)
    fade = cv2.resize(rng.uniform(0, 1, (4, 6)).astype(np.float32), (size, size))
    field = field + rng.uniform(0, 0.8) * lines * fade
    field = field + rng.uniform(0, 0.8) * unit(grain(rng, size))
    x, y = grid(size)
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    cx = size / 2
    map_x = np.cos(angle) * (x - cx) + np.sin(angle) * (y - cx) + cx
    map_y = np.cos(angle) * (y - cx) - np.sin(angle) * (x - cx) + cx
    return np.asarray(
        cv2.remap(
            np.asarray(field, np.float32),
            map_x.astype(np.float32),
            map_y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    )


def relief(rng: Rng, size: int) -> Field:
    """A height map lit from one side, matt to shiny: wires, embossing, castings, dimples."""
    makers = (lattice, lattice, mesh, blobs, cells, scale_noise, power_noise, rings)
    height = unit(makers[rng.integers(len(makers))](rng, size))
    height = cv2.GaussianBlur(height, (0, 0), log_uniform(rng, 0.6, 4))
    steep = log_uniform(rng, 0.5, 6)
    dx, dy = (steep * cv2.Sobel(height, cv2.CV_32F, *d, scale=0.125) for d in ((1, 0), (0, 1)))
    angle, raised = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.3)
    light = np.array(
        [np.cos(angle) * np.cos(raised), np.sin(angle) * np.cos(raised), np.sin(raised)]
    )
    towards = (light[2] - light[0] * dx - light[1] * dy) / np.sqrt(1 + dx * dx + dy * dy)
    shade = unit(np.maximum(towards, 0))
    shade = shade + rng.uniform(0, 1.5) * unit(np.maximum(towards, 0) ** log_uniform(rng, 3, 40))
    return np.asarray(shade + rng.uniform(-1, 1) * height, np.float32)


FIELDS: tuple[tuple[Callable[[Rng, int], Field], float], ...] = (
    (power_noise, 0.14),
    (scale_noise, 0.11),
    (grain, 0.12),
    (stripes, 0.05),
    (mesh, 0.06),
    (rings, 0.06),
    (brushed, 0.07),
    (cells, 0.05),
    (blobs, 0.04),
    (gradient, 0.01),
    (white, 0.01),
    (lattice, 0.08),
    (streaks, 0.09),
    (relief, 0.11),
)


def any_field(rng: Rng, size: int) -> Field:
    """A field of a random kind, at zero mean and unit deviation."""
    weights = np.array([w for _, w in FIELDS])
    make = FIELDS[int(rng.choice(len(FIELDS), p=weights / weights.sum()))][0]
    return unit(make(rng, size))
