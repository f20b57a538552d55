"""Names of pockets, reading order, and which part lies in which pocket."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.parts.pockets import Spot, assign, pocket_names, reaches_out, reading_order
from goodpart.recipe import TrayPocket


def spot(x, y):
    return Spot(np.eye(3), np.array([x, y], dtype=float), np.zeros((1, 2)), 1.0, False)


def pockets(*places):
    return [TrayPocket(name=f"p{i}", x=x, y=y) for i, (x, y) in enumerate(places)]


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_grid_is_read_line_by_line_however_it_is_shaken(rows, columns, seed):
    rng = np.random.default_rng(seed)
    grid = np.array([(100 * c, 100 * r) for r in range(rows) for c in range(columns)], dtype=float)
    shaken = grid + rng.uniform(-10, 10, grid.shape)
    mixed = rng.permutation(len(grid))
    order = reading_order(shaken[mixed], 80)
    assert [int(mixed[index]) for index in order] == list(range(len(grid)))
    names = pocket_names(shaken, 80)
    assert len(set(names)) == len(names)


def test_small_layouts_are_named_in_words_and_large_ones_by_line_and_column():
    five = np.array([(20, 20), (80, 20), (50, 50), (20, 80), (80, 80)], dtype=float)
    assert pocket_names(five, 15) == [
        "top_left",
        "top_right",
        "centre",
        "bottom_left",
        "bottom_right",
    ]
    assert pocket_names(np.array([(50.0, 50.0)]), 15) == ["centre"]
    assert pocket_names(np.array([(20.0, 50.0), (80.0, 50.0)]), 15) == ["left", "right"]
    grid = np.array([(20 * c, 20 * r) for r in range(2) for c in range(4)], dtype=float)
    assert pocket_names(grid, 15)[0] == "r1c1"
    assert pocket_names(grid, 15)[-1] == "r2c4"


@given(
    dx=st.floats(-30, 30),
    dy=st.floats(-30, 30),
    seed=st.integers(0, 999),
    gone=st.sets(st.integers(0, 8), max_size=4),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_every_part_lies_in_its_pocket_on_a_tray_that_lies_a_little_off(dx, dy, seed, gone):
    rng = np.random.default_rng(seed)
    places = [(100 * c, 100 * r) for r in range(3) for c in range(3)]
    order = [int(i) for i in rng.permutation(9) if i not in gone]
    spots = [
        spot(places[i][0] + dx + rng.uniform(-8, 8), places[i][1] + dy + rng.uniform(-8, 8))
        for i in order
    ]
    lying = assign(spots, pockets(*places), 60)
    assert (lying.outside, lying.displaced) == ([], set())
    assert {i: order[index] for i, index in enumerate(lying.held) if index is not None} == {
        i: i for i in order
    }


def test_a_part_between_the_pockets_and_a_second_one_in_a_pocket_lie_outside():
    lying = assign([spot(0, 0), spot(300, 5), spot(8, 0)], pockets((0, 0), (100, 0)), 60)
    assert lying.held == [0, None]
    assert lying.outside == [1, 2]
    assert assign([], pockets((0, 0)), 60).held == [None]


def test_a_part_beside_an_empty_pocket_belongs_to_it_and_is_displaced():
    lying = assign([spot(0, 0), spot(140, 0)], pockets((0, 0), (80, 0)), 75)
    assert lying.held == [0, 1]
    assert lying.displaced == {1}
    assert lying.outside == []


def test_an_outline_reaches_out_where_it_crosses_a_border_by_more_than_a_pixel():
    ring = np.array([[10, 10], [90, 10], [90, 50], [10, 50]], dtype=float)
    assert not reaches_out(ring, (60, 100))
    assert not reaches_out(ring - (11, 0), (60, 100))
    assert reaches_out(ring - (12, 0), (60, 100))
    assert reaches_out(ring - (0, -12), (60, 100))
