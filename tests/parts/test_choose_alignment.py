"""The alignment that good images choose by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from goodpart.errors import DataError
from goodpart.parts.align import create_aligner
from goodpart.parts.choose_alignment import choose_alignment, edge_agreement
from goodpart.parts.views import views_of
from goodpart.recipe import parse_recipe

Draw = Callable[..., Any]
COUNT = 14


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def slanted(rings: Draw) -> list[tuple[Any, tuple[float, float], float]]:
    """Round parts displaced and stretched, with their centres and radii."""
    random = _random(3)
    parts = []
    for seed in range(COUNT):
        center = tuple(127.5 + random.uniform(-14, 14, 2))
        radius = float(random.uniform(48, 62))
        image = rings(
            center=center,
            radius=radius,
            stretch=float(random.uniform(1.0, 1.2)),
            angle=float(random.uniform(0, 3)),
            light=float(random.uniform(0.8, 1.2)),
            seed=seed,
        )
        parts.append((image, center, radius))
    return parts


def test_slanted_round_parts_choose_the_ellipse_and_sit_in_the_middle(
    slanted: list[tuple[Any, tuple[float, float], float]],
) -> None:
    views = [views_of(image) for image, _, _ in slanted]
    chosen = choose_alignment(parse_recipe({}), views, size=(256, 256))
    assert chosen.align.method == "ellipse"
    assert chosen.align.rotation == "none"
    assert chosen.agreement["ellipse"] > chosen.agreement["none"]
    assert chosen.part.size != "auto"
    aligner = create_aligner(chosen.align, chosen.arrays, chosen.part.size)
    assert aligner is not None
    height, width = chosen.part.size
    for view, (_, center, _) in zip(views, slanted, strict=True):
        location = aligner.locate(view)
        assert location is not None
        found = location.matrix @ [(width - 1) / 2, (height - 1) / 2, 1]
        assert found[:2] == pytest.approx(center, abs=0.3)


def test_the_outline_of_round_parts_is_found(
    slanted: list[tuple[Any, tuple[float, float], float]],
) -> None:
    views = [views_of(image) for image, _, _ in slanted]
    align = choose_alignment(parse_recipe({}), views, size=(256, 256)).align
    assert align.outline is not None and align.radius is not None
    # The disc is 1.6 times as large as the dark ring, the hub 0.45 times.
    ratios = (1.6, 1.6 / 0.45, 1.0)
    assert min(abs(align.outline / align.radius / r - 1) for r in ratios) < 0.05


def test_notched_parts_at_any_angle_are_turned_to_one(rings: Draw) -> None:
    random = _random(4)
    images = [
        rings(notch=float(random.uniform(0, 6.2)), center=(126.0, 129.0), seed=seed)
        for seed in range(COUNT)
    ]
    chosen = choose_alignment(
        parse_recipe({"align": {"method": "circle"}}),
        [views_of(image) for image in images],
        size=(256, 256),
    )
    assert chosen.align.rotation == "angle"


def test_plates_displaced_and_turned_choose_the_template(tab: Draw) -> None:
    random = _random(5)
    truth = [(*(127.5 + random.uniform(-10, 10, 2)), random.uniform(-3, 3)) for _ in range(COUNT)]
    views = [
        views_of(tab(center=(x, y), angle=angle, seed=seed))
        for seed, (x, y, angle) in enumerate(truth)
    ]
    chosen = choose_alignment(
        parse_recipe({"align": {"method": "template", "rotation": "angle"}}), views, size=(256, 256)
    )
    aligner = create_aligner(chosen.align, chosen.arrays, (256, 256))
    assert aligner is not None
    offsets = []
    for view, (x, y, angle) in zip(views, truth, strict=True):
        location = aligner.locate(view)
        assert location is not None
        c, s = np.cos(angle), np.sin(angle)
        to_part = np.linalg.inv(np.array([[c, -s, x], [s, c, y], [0, 0, 1]]))
        offsets.append(to_part @ location.matrix)
    # Wherever the template's own origin lies, it is the same place and angle of every part.
    spread = np.std(offsets, axis=0)
    assert spread[:2, :2].max() < np.deg2rad(0.6)
    assert spread[:2, 2].max() < 1.0


def test_textures_stay_as_they_are() -> None:
    random = _random(6)
    images = [random.integers(0, 255, (96, 128), dtype=np.uint8) for _ in range(COUNT)]
    chosen = choose_alignment(parse_recipe({}), [views_of(i) for i in images], size=(96, 128))
    assert chosen.align.method == "none"
    assert chosen.part.size == (96, 128)


def test_an_alignment_that_is_not_possible_is_an_error() -> None:
    random = _random(7)
    images = [random.integers(0, 255, (96, 96), dtype=np.uint8) for _ in range(6)]
    with pytest.raises(DataError, match="does not locate"):
        choose_alignment(
            parse_recipe({"align": {"method": "ellipse"}}),
            [views_of(image) for image in images],
            size=(96, 96),
        )


def test_equal_images_agree_fully_and_noise_does_not() -> None:
    random = _random(8)
    one = random.integers(0, 255, (48, 48), dtype=np.uint8)
    assert edge_agreement([one, one, one]) == pytest.approx(1.0)
    noise = [random.integers(0, 255, (48, 48), dtype=np.uint8) for _ in range(5)]
    assert np.abs(edge_agreement(noise)).max() < 0.2
