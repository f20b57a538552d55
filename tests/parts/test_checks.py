"""Image checks: learned from good images, generous to them, never OK for what is broken."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from goodpart.parts.checks import (
    LIKENESS_ARRAY,
    Checks,
    learn_checks,
    learn_edges,
    measure,
    strange,
)
from goodpart.recipe import ChecksSection

SIZE = (96, 96)


def _part(seed: int, light: float = 1.0) -> Any:
    random = np.random.default_rng(seed)
    image = np.full(SIZE, 60.0)
    cv2.circle(image, (48, 48), 36, 150, -1)
    cv2.circle(image, (48, 48), 18, 90, -1)
    return np.clip(image * light + random.normal(0, 3, SIZE), 0, 255).astype(np.uint8)


def _measured(image: Any, edges: Any, transform: Any = None) -> dict[str, float]:
    matrix = np.eye(3) if transform is None else np.asarray(transform, dtype=float)
    return measure(image, None, transform=matrix, source=SIZE, aligned=True, edges=edges)


@pytest.fixture(scope="module")
def checks() -> Checks:
    random = np.random.default_rng(0)
    parts = [_part(seed, float(random.uniform(0.95, 1.05))) for seed in range(30)]
    edges = learn_edges(parts)
    section, arrays = learn_checks(ChecksSection(), [_measured(part, edges) for part in parts])
    return Checks(section, {**arrays, LIKENESS_ARRAY: edges})


def test_other_good_images_pass(checks: Checks) -> None:
    for seed in range(100, 130):
        assert checks.problem(_measured(_part(seed), checks.edges), "cap.png") is None


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda image: (image * 0.3).astype(np.uint8), "too dark"),
        (lambda image: np.clip(image + 70.0, 0, 255).astype(np.uint8), "too bright"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 3), "out of focus"),
        (lambda image: np.where(image > 120, 255, image).astype(np.uint8), "too bright"),
        (
            lambda image: np.clip(
                110 + np.random.default_rng(5).normal(0, 40, image.shape), 0, 255
            ).astype(np.uint8),
            "part missing",
        ),
    ],
)
def test_a_spoilt_image_is_not_judged(checks: Checks, spoil: Any, reason: str) -> None:
    problem = checks.problem(_measured(spoil(_part(200)), checks.edges), "cap.png")
    assert problem is not None
    assert problem[0] == reason
    assert problem[1].startswith("cap.png: the image ")


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ([[1, 0, 30], [0, 1, 0], [0, 0, 1]], "misplaced"),
        ([[0.6, 0, 19], [0, 0.6, 19], [0, 0, 1]], "wrong scale"),
    ],
)
def test_a_part_in_the_wrong_place_or_size_is_not_judged(
    checks: Checks, transform: Any, reason: str
) -> None:
    problem = checks.problem(_measured(_part(201), checks.edges, transform), "cap.png")
    assert problem is not None and problem[0] == reason


def test_what_the_recipe_turns_off_is_not_checked() -> None:
    off = ChecksSection(**dict.fromkeys(ChecksSection.model_fields, "off"))
    learned, _ = learn_checks(off, [_measured(_part(1), None)])
    assert learned == off
    assert not Checks(off, {})


def test_a_range_given_by_hand_stays(checks: Checks) -> None:
    section = ChecksSection(brightness=(10.0, 20.0))
    learned, arrays = learn_checks(section, [_measured(_part(s), None) for s in range(5)])
    assert learned.brightness == (10.0, 20.0)
    problem = Checks(learned, arrays).problem(_measured(_part(1), None), "cap.png")
    assert problem is not None and problem[0] == "too bright"


def test_a_few_pictures_of_something_else_are_told_from_good_parts() -> None:
    parts = [_part(seed, 0.9 + 0.2 * (seed % 10) / 10) for seed in range(40)]
    random = np.random.default_rng(1)
    other = np.zeros(SIZE, np.uint8)
    cv2.rectangle(other, (5, 5), (50, 90), 200, -1)
    for odd in (np.zeros(SIZE, np.uint8), random.integers(0, 255, SIZE, dtype=np.uint8), other):
        mixed = [*parts, odd]
        edges = learn_edges(mixed)
        assert strange([_measured(image, edges) for image in mixed]) == [40]
    edges = learn_edges(parts)
    assert strange([_measured(image, edges) for image in parts]) == []


def test_another_kind_of_good_part_is_nothing_strange() -> None:
    """Every eighth good image is much darker: that is how these parts are."""
    parts = [_part(seed, 0.3 if seed % 8 == 0 else 1.0) for seed in range(40)]
    edges = learn_edges(parts)
    assert strange([_measured(image, edges) for image in parts]) == []
