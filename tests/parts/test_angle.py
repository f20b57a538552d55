"""The turn of a round part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from goodpart.parts.angle import angle_between, has_one_angle, polar_of, turned
from goodpart.parts.ellipse import frame_of

Draw = Callable[..., Any]
FRAME = frame_of(127.5, 127.5, 60, 60, 0.0)


def test_a_turned_part_is_found_to_the_degree(rings: Draw) -> None:
    reference = polar_of(rings(notch=0.3), FRAME, 1.6)
    for angle in (0.0, 1.0, 2.5, -2.0):
        turn = angle_between(polar_of(rings(notch=0.3 + angle, seed=1), FRAME, 1.6), reference)
        assert np.angle(np.exp(1j * (turn.angle - angle))) == pytest.approx(0, abs=np.deg2rad(1))
        assert turn.match > 0.9


def test_turning_the_frame_by_that_angle_brings_the_part_back(rings: Draw) -> None:
    reference = polar_of(rings(notch=0.0), FRAME, 1.6)
    image = rings(notch=1.2, seed=2)
    found = angle_between(polar_of(image, FRAME, 1.6), reference)
    back = angle_between(polar_of(image, turned(FRAME, found.angle), 1.6), reference)
    assert np.angle(np.exp(1j * back.angle)) == pytest.approx(0, abs=np.deg2rad(0.5))


def test_a_notched_part_has_one_angle_and_a_plain_one_has_none(rings: Draw) -> None:
    random = np.random.default_rng(0)
    notched, plain = [], []
    for seed in range(8):
        angle = float(random.uniform(0, 6))
        notched.append(polar_of(rings(notch=angle, seed=seed), FRAME, 1.6))
        plain.append(polar_of(rings(seed=seed, noise=4.0), FRAME, 1.6))
    assert has_one_angle(notched)
    assert not has_one_angle(plain)
