"""Quarter turns of good parts that lie in any orientation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from goodpart.detectors.base import HeldOut
from goodpart.detectors.registry import create_detector
from goodpart.detectors.turns import TURNS, Turned, lie_any_way, unturned
from goodpart.errors import TrainingError


def marked(turned: bool, count: int = 24, side: int = 64) -> list[NDArray[np.uint8]]:
    """Grain with a dark mark: always at the top, or at any of the four sides."""
    rng = np.random.default_rng(0)
    images = []
    for index in range(count):
        image = rng.normal(150, 8, (side, side))
        image[6:18, 24:40] = 40
        image = np.rot90(image, index % TURNS) if turned else image
        images.append(np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8)))
    return images


def test_parts_that_lie_any_way_are_told_from_those_that_do_not() -> None:
    assert lie_any_way(marked(True), None)
    assert not lie_any_way(marked(False), None)
    assert not lie_any_way([image[:32] for image in marked(True)], None)
    lopsided = np.ones((64, 64), np.bool_)
    lopsided[:20] = False
    assert not lie_any_way(marked(True), lopsided)


def test_each_image_is_read_once_and_shown_four_times() -> None:
    images = marked(False, 3)
    turned = Turned(images)
    assert len(turned) == 12
    for index, shown in enumerate(turned):
        np.testing.assert_array_equal(shown, np.rot90(images[index // TURNS], index % TURNS))
    maps = [HeldOut(index, np.full((2, 2), index, np.float32)) for index in range(12)]
    assert [(h.index, h.raw_map[0, 0]) for h in unturned(maps)] == [(0, 0), (1, 4), (2, 8)]


def test_gaussian_learns_from_turns_and_holds_out_all_of_them() -> None:
    images = marked(True)
    settings = {"resolution": 64}
    detector = create_detector("gaussian", settings).fit(images)
    assert [h.index for h in detector.held_out_] == list(range(len(images)))
    state = detector.state()
    assert state.values["turns"] is True
    assert state.values["images"] == TURNS * len(images)
    again = create_detector("gaussian", settings).restore(state).extend(marked(True, 4))
    assert len(again.held_out_) == 4
    assert again.state().values["images"] == TURNS * (len(images) + 4)


def test_turns_need_square_parts() -> None:
    images = [image[:48] for image in marked(True)]
    with pytest.raises(TrainingError, match="square"):
        create_detector("gaussian", {"resolution": 64, "turns": True}).fit(images)
