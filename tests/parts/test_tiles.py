"""Tiles cover the part, and their maps come together as if it had been one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.parts.tiles import STEP, put_together, tiles_of


@settings(deadline=None)
@given(
    height=st.integers(2, 90),
    width=st.integers(2, 90),
    side=st.integers(4, 40),
    overlap=st.floats(0, 0.5),
    stride=st.sampled_from([1, 4, 8, 16]),
)
def test_a_map_cut_into_tiles_comes_together_again(
    height: int, width: int, side: int, overlap: float, stride: int
) -> None:
    size = (height * STEP, width * STEP)
    whole = np.arange(size[0] // stride * (size[1] // stride), dtype=np.float32)
    whole = whole.reshape(size[0] // stride, size[1] // stride)
    tiles = tiles_of(size, side * STEP, overlap)
    assert len({(tile.height, tile.width) for tile in tiles}) == 1
    maps = [
        whole[t.top // stride :, t.left // stride :][: t.height // stride, : t.width // stride]
        for t in tiles
    ]
    assert np.array_equal(put_together(maps, tiles, size), whole)


def test_neighbours_overlap_by_what_was_asked_for() -> None:
    tiles = tiles_of((2048, 512), 512, 0.2)
    tops = [tile.top for tile in tiles]
    assert tops[0] == 0 and tops[-1] == 2048 - 512
    assert max(np.diff(tops)) <= 512 * 0.8 + STEP


def test_a_small_part_is_one_tile() -> None:
    (tile,) = tiles_of((256, 320), 512, 0.2)
    assert (tile.height, tile.width) == (256, 320)


def test_tiles_in_which_nothing_counts_become_zero() -> None:
    tiles = tiles_of((64, 128), 64, 0.0)
    whole = put_together([np.ones((8, 8), np.float32), None], tiles, (64, 128))
    assert whole[:, :8] == pytest.approx(1) and whole[:, 8:] == pytest.approx(0)
