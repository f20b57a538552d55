"""Procedurally drawn images with the broad statistics of photographed surfaces and parts.

``draw(rng, size)`` composes one uint8 RGB image: a scene (a single texture, dead leaves, a shaded
object, a crop of a photograph), marks on it, then the camera (contrast, blur, noise, JPEG).
About 70 % come out grey. The same generator state always gives the same image.
"""

from __future__ import annotations

import cv2
import numpy as np
from fields import Rng, any_field, gradient, grid, log_uniform, unit
from marks import any_mark


def _tones(rng: Rng, count: int, colour: bool) -> np.ndarray:
    grey = rng.uniform(0, 1, (count, 1)).astype(np.float32)
    if not colour:
        return np.repeat(grey, 3, 1)
    return np.clip(grey + rng.normal(0, rng.uniform(0.05, 0.3), (count, 3)), 0, 1).astype(
        np.float32
    )


def _texture(rng: Rng, size: int, photos: list[np.ndarray]) -> np.ndarray:
    if photos and rng.random() < 0.12:
        return unit(photo_crop(rng, size, photos).mean(2))
    field = any_field(rng, size)
    while rng.random() < 0.4:
        field = unit(field + rng.uniform(0.1, 1) * any_field(rng, size))
    return field


def _painted(rng: Rng, field: np.ndarray, colour: bool) -> np.ndarray:
    """A field as an image: a tone and a contrast, along one colour axis or a ramp of colours."""
    base, contrast = _tones(rng, 1, colour), log_uniform(rng, 0.01, 0.35)
    if colour and rng.random() < 0.4:
        stops = _tones(rng, int(rng.integers(2, 5)), True)
        place = np.clip((field + 2) / 4, 0, 0.9999) * (len(stops) - 1)
        low = place.astype(np.int32)
        part = (place - low)[..., None]
        return np.asarray(stops[low] * (1 - part) + stops[low + 1] * part, np.float32)
    axis = np.ones(3, np.float32)
    if colour:
        axis += rng.normal(0, 0.3, 3).astype(np.float32)
    return np.asarray(base[0] + contrast * field[..., None] * axis, np.float32)


def surface(rng: Rng, size: int, photos: list[np.ndarray], colour: bool) -> np.ndarray:
    """One texture everywhere, under uneven light."""
    image = _painted(rng, _texture(rng, size, photos), colour)
    if rng.random() < 0.5:
        image = image + rng.uniform(0.02, 0.2) * unit(gradient(rng, size))[..., None]
    return np.asarray(image, np.float32)


def _shape(rng: Rng, canvas: np.ndarray, label: int, radius: float) -> None:
    side = canvas.shape[0]
    cx, cy = rng.uniform(-0.1, 1.1, 2) * side
    kind = rng.random()
    if kind < 0.35:
        axes = (max(1, round(radius)), max(1, round(radius * rng.uniform(0.3, 1))))
        cv2.ellipse(canvas, (round(cx), round(cy)), axes, rng.uniform(0, 180), 0, 360, label, -1)
        return
    if kind < 0.5:
        cv2.circle(canvas, (round(cx), round(cy)), max(1, round(radius)), label, -1)
        return
    if kind < 0.75:
        box = ((cx, cy), (2 * radius, 2 * radius * rng.uniform(0.1, 1)), rng.uniform(0, 180))
        points = cv2.boxPoints(box)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        reach = radius * rng.uniform(0.4, 1.2, len(angles))
        points = np.stack([cx + reach * np.cos(angles), cy + reach * np.sin(angles)], 1)
    cv2.fillPoly(canvas, [np.asarray(points, np.int32)], label)


def dead_leaves(rng: Rng, size: int, photos: list[np.ndarray], colour: bool) -> np.ndarray:
    """Opaque textured shapes over one another (Lee, Mumford and Huang 2001)."""
    count = int(log_uniform(rng, 3, 250))
    canvas = np.zeros((2 * size, 2 * size), np.int32)
    largest = log_uniform(rng, 0.1, 0.7) * 2 * size
    smallest = min(largest / 2, log_uniform(rng, 3, 30))
    radii = (largest**-2 + rng.random(count) * (smallest**-2 - largest**-2)) ** -0.5
    if rng.random() < 0.5:
        radii = np.sort(radii)[::-1]  # the small ones on top
    for label in range(1, count + 1):
        _shape(rng, canvas, label, float(radii[label - 1]))
    textures = np.stack([_texture(rng, size, photos) for _ in range(int(rng.integers(1, 4)))])
    tones = _tones(rng, count + 1, colour)
    contrast = rng.uniform(0, log_uniform(rng, 0.03, 0.4), count + 1).astype(np.float32)
    chosen = rng.integers(0, len(textures), count + 1)
    flat = cv2.resize(tones[canvas], (size, size), interpolation=cv2.INTER_AREA)
    labels = canvas[::2, ::2]
    x, y = (v.astype(np.int32) for v in grid(size))
    image = flat + (contrast[labels] * textures[chosen[labels], y, x])[..., None]
    if rng.random() < 0.4:  # each leaf gets its own slope of light
        slope = rng.normal(0, 0.3 / size, (count + 1, 2)).astype(np.float32)
        image += (slope[labels, 0] * (x - size / 2) + slope[labels, 1] * (y - size / 2))[..., None]
    if rng.random() < 0.4:  # soft contact shadows along the edges
        edge = cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3)))
        soft = cv2.GaussianBlur((edge > 0).astype(np.float32), (0, 0), log_uniform(rng, 0.6, 4))
        image *= (1 - rng.uniform(0.1, 0.9) * soft)[..., None]
    return np.asarray(image, np.float32)


def turned_part(rng: Rng, size: int, photos: list[np.ndarray], colour: bool) -> np.ndarray:
    """A round or polygonal part seen from above: steps, bores, vanes, shading, on some ground."""
    image = surface(rng, size, photos, colour)
    x, y = grid(size)
    cx, cy = rng.uniform(0.1, 0.9, 2) * size
    outer = log_uniform(rng, 0.2, 1.2) * size
    turn = np.arctan2(y - cy, x - cx)
    radius = np.hypot(x - cx, y - cy)
    sides = int(rng.choice([0, 0, 0, 4, 6, 8]))
    if sides:
        wedge = 2 * np.pi / sides
        radius = radius * np.cos((turn + rng.uniform(0, 6)) % wedge - wedge / 2)
    edges = np.sort(rng.uniform(0.05, 1, int(rng.integers(1, 7))))[::-1] * outer
    for edge in np.concatenate([[outer], edges]):
        inside = np.clip(edge - radius + 0.5, 0, 1)[..., None]
        layer = surface(rng, size, photos, colour) if rng.random() < 0.6 else image
        if rng.random() < 0.6:
            light = np.cos(turn - rng.uniform(0, 6.3)) * rng.uniform(0, 0.2)
            layer = layer + light[..., None]
        if rng.random() < 0.4:
            vanes = np.cos(
                turn * rng.integers(2, 16) + radius * rng.normal(0, 0.05) + rng.uniform(0, 6)
            )
            layer = (
                layer
                + (rng.uniform(0.02, 0.3) * np.tanh(vanes * log_uniform(rng, 1, 20)))[..., None]
            )
        image = image * (1 - inside) + layer * inside
        rim = np.exp(-0.5 * ((radius - edge) / log_uniform(rng, 0.7, 4)) ** 2)
        image = image + (rng.uniform(-0.4, 0.4) * rim)[..., None]
    return np.asarray(image, np.float32)


def photo_crop(rng: Rng, size: int, photos: list[np.ndarray]) -> np.ndarray:
    """A turned and scaled crop of one of the photographs."""
    photo = photos[rng.integers(len(photos))]
    height, width = photo.shape[:2]
    zoom = log_uniform(rng, max(0.35, 0.9 * size / min(height, width)), 3.0)
    turn = cv2.getRotationMatrix2D(
        (float(rng.uniform(0.1, 0.9) * width), float(rng.uniform(0.1, 0.9) * height)),
        float(rng.uniform(0, 360)),
        zoom,
    )
    turn[:, 2] += (
        size / 2 - turn @ np.array([width / 2, height / 2, 1]) + rng.normal(0, 0.15, 2) * size
    )
    if rng.random() < 0.5:
        turn[0] *= -1
        turn[0, 2] += size
    flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    source = cv2.GaussianBlur(photo, (0, 0), 0.45 / zoom) if zoom < 0.8 else photo
    crop = cv2.warpAffine(
        source, turn, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )
    return crop.astype(np.float32) / 255


def _camera(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Contrast, gamma, vignette, blur, noise, JPEG: from scene to 8 bits."""
    size = image.shape[0]
    if rng.random() < 0.2:
        x, y = grid(size)
        fall = (x / size - rng.uniform(0.3, 0.7)) ** 2 + (y / size - rng.uniform(0.3, 0.7)) ** 2
        image = image * (1 - rng.uniform(0.2, 1.2) * fall)[..., None]
    kind = rng.random()
    if kind < 0.25:  # low contrast, at any brightness
        image = (
            (image - image.mean()) / max(float(image.std()), 0.01) * log_uniform(rng, 0.008, 0.06)
        )
        image = image + rng.uniform(0.08, 0.9)
    elif kind < 0.4:  # dark and shiny
        image = np.clip(image, 0, 4) ** rng.uniform(1.3, 3) * rng.uniform(0.2, 0.9)
    elif kind < 0.75:
        image = (image - image.mean()) / max(float(image.std()), 0.02) * rng.uniform(0.08, 0.25)
        image = image + rng.uniform(0.2, 0.75)
    if rng.random() < 0.3:
        image = np.clip(image, 0, 1) ** log_uniform(rng, 0.5, 2)
    if rng.random() < 0.45:
        image = cv2.GaussianBlur(image, (0, 0), log_uniform(rng, 0.4, 2.5))
    if rng.random() < 0.06:
        length = int(rng.integers(3, 12))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1)
        kernel = cv2.warpAffine(kernel, turn, (length, length))
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if rng.random() < 0.6:
        sigma = log_uniform(rng, 0.002, 0.05)
        noise = rng.standard_normal(image.shape[:2], np.float32)[..., None]
        image = image + sigma * noise * np.sqrt(
            np.clip(image, 0.05, 1) if rng.random() < 0.5 else 1
        )
    pixels = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 97))]
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(pixels)


def draw(rng: Rng, size: int, photos: list[np.ndarray] | None = None) -> np.ndarray:
    """One drawn image.

    Parameters
    ----------
    rng
        The source of every choice.
    size
        Side in pixels.
    photos
        uint8 RGB photographs to take crops from; none by default.

    Returns
    -------
    numpy.ndarray
        uint8 (size, size, 3), RGB.
    """
    photos = photos or []
    colour = bool(rng.random() < 0.3)
    kind = rng.random()
    if photos and kind < 0.2:
        image = photo_crop(rng, size, photos)
        if not colour:
            image = np.repeat(image.mean(2, keepdims=True), 3, 2)
    elif kind < 0.45:
        image = surface(rng, size, photos, colour)
    elif kind < 0.75:
        image = dead_leaves(rng, size, photos, colour)
    else:
        image = turned_part(rng, size, photos, colour)
    image = np.ascontiguousarray(image, np.float32)
    for _ in range(int(rng.choice([0, 1, 2, 4, 8], p=[0.35, 0.25, 0.2, 0.12, 0.08]))):
        any_mark(rng, image)
    pixels = _camera(rng, image)
    if not colour:
        pixels = np.repeat(pixels[..., 1:2], 3, 2)
    return pixels
