"""From tray images to named parts: every pocket is told of, and nothing is taken for a part."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.errors import RecipeError
from goodpart.parts.find import create_finder, matches
from goodpart.recipe import TrayException, TraySection

FIVE = ["top_left", "top_right", "centre", "bottom_left", "bottom_right"]


def reasons(found):
    return {one.pocket: one.problem[0] if one.problem else None for one in found}


@pytest.mark.parametrize("kind", ["cap", "tab"])
def test_every_pocket_is_told_of_and_named_as_the_layout_says(kind, tray, learned):
    for seed in range(3):
        shown = tray(kind, seed, empty=0.3)
        found = learned(kind).find(shown.image, "a.bmp")
        truth = {p.name: "empty" if p.empty else None for p in shown.truth.pockets}
        assert [one.pocket for one in found] == FIVE
        assert reasons(found) == truth


def test_parts_cut_off_by_the_border_are_found_and_not_judged(tray, learned):
    cut = 0
    for seed in range(3, 6):
        shown = tray("cap", seed, cut_off=0.7)
        truth = {p.name: "cut off" if p.cut_off else None for p in shown.truth.pockets}
        assert reasons(learned("cap").find(shown.image, "a.bmp")) == truth
        cut += sum(pocket.cut_off for pocket in shown.truth.pockets)
    assert cut > 3


def test_touching_parts_are_two_parts(tray, learned):
    shown = tray("cap", 5, touching=1.0)
    assert sum(pocket.touching for pocket in shown.truth.pockets) >= 2
    assert set(reasons(learned("cap").find(shown.image, "a.bmp")).values()) == {None}


def test_light_that_falls_off_to_one_side_hides_nothing(tray, learned):
    shown = tray("cap", 6, gradient=0.8)
    assert set(reasons(learned("cap").find(shown.image, "a.bmp")).values()) == {None}


def test_empty_pockets_that_the_recipe_allows_are_counted_only(tray, finder_with):
    shown = tray("cap", 0, empty=0.3)
    assert any(pocket.empty for pocket in shown.truth.pockets)
    found = finder_with("cap", allow_empty=True).find(shown.image, "a.bmp")
    assert all(one.allowed == (one.problem is not None) for one in found)


def test_what_lies_in_a_pocket_without_being_a_part_is_never_counted_as_empty(
    tray, learned, finder_with
):
    image = tray("cap", 1).image.copy()
    pocket = next(p for p in learned("cap").section.pockets if p.name == "centre")
    x, y = round(pocket.x), round(pocket.y)
    image[y - 130 : y + 130, x - 130 : x + 130] = 10
    image[y - 40 : y + 60, x - 70 : x + 50] = 170
    found = finder_with("cap", allow_empty=True).find(image, "a.bmp")
    centre = next(one for one in found if one.pocket == "centre")
    assert centre.problem is not None
    assert centre.problem[0] == "not located"
    assert not centre.allowed


def test_a_tray_without_a_part_says_so_even_where_empty_pockets_are_allowed(
    tray, learned, finder_with
):
    image = tray("cap", 1, empty=1.0).image
    for finder in (learned("cap"), finder_with("cap", allow_empty=True)):
        (only,) = finder.find(image, "a.bmp")
        assert only.pocket is None
        assert only.problem == ("no part", "a.bmp: no part is found on this tray")
        assert not only.allowed


@pytest.mark.parametrize("fill", [0, 128, 255])
def test_a_flat_image_has_no_part(fill, learned):
    flat = np.full((683, 816), fill, dtype=np.uint8)
    (only,) = learned("tab").find(flat, "a.bmp")
    assert only.problem is not None
    assert only.problem[0] == "no part"


def test_a_turned_image_and_one_of_another_size_are_told_apart(tray, learned):
    image = tray("cap", 1).image
    (turned,) = learned("cap").find(np.ascontiguousarray(image.T), "a.bmp")
    (small,) = learned("cap").find(image[:-40], "a.bmp")
    assert turned.problem is not None and small.problem is not None
    assert turned.problem[0] == "rotated"
    assert small.problem == ("wrong size", "a.bmp: 816x643 pixels where 816x683 were learned")


def test_a_tray_that_lies_turned_in_an_image_of_the_right_size_is_noticed(
    tray, learned, finder_with
):
    places = {pocket.name: pocket for pocket in learned("cap").section.pockets}
    image = tray("cap", 1).image.copy()
    image[341:] = 10
    x, y = round(places["centre"].x), round(places["centre"].y)
    window = image[y - 330 : y + 330, x - 330 : x + 330]
    assert window.shape == (660, 660)
    moved = [
        places[name].model_copy(
            update={"x": places[name].x - x + 330, "y": places[name].y - y + 330}
        )
        for name in ("top_left", "top_right")
    ]
    finder = finder_with("cap", pockets=tuple(moved), size=None)
    (only,) = finder.find(np.ascontiguousarray(np.rot90(window)), "a.bmp")
    assert only.problem == ("rotated", "a.bmp: the tray lies turned by 270°")


def test_a_part_outside_every_pocket_is_reported_and_not_lost(tray, learned, finder_with):
    pockets = tuple(p for p in learned("cap").section.pockets if p.name != "centre")
    found = finder_with("cap", pockets=pockets).find(tray("cap", 1).image, "a.bmp")
    assert reasons(found)["outside1"] == "misplaced"
    assert len(found) == 5


def test_without_a_layout_parts_are_numbered_in_reading_order(tray, finder_with):
    found = finder_with("cap", pockets=()).find(tray("cap", 1).image, "a.bmp")
    assert [one.pocket for one in found] == ["1", "2", "3", "4", "5"]
    centres = [one.matrix[:2, 2] for one in found]
    assert centres[0][0] < centres[1][0]
    assert centres[1][1] < centres[2][1] < centres[3][1]


def test_pockets_are_skipped_on_the_files_that_an_exception_names(tray, finder_with):
    exception = TrayException(files=("b_*",), skip=("centre", "top_left"))
    finder = finder_with("cap", exceptions=(exception,))
    image = tray("cap", 1).image
    assert len(finder.find(image, "somewhere/a_1.bmp")) == 5
    left = [one.pocket for one in finder.find(image, "somewhere/b_1.bmp")]
    assert left == ["top_right", "bottom_left", "bottom_right"]


def test_an_image_of_the_cut_size_is_a_part_that_was_cut_already(learned):
    height, width = learned("cap").section.part
    (only,) = learned("cap").find(np.zeros((height, width), np.uint8), "a_centre.png")
    assert only.pocket is None
    assert only.problem is None
    assert np.array_equal(only.matrix, np.eye(3))


def test_a_colour_tray_and_one_of_wide_range_are_found_alike(tray, learned):
    image = tray("cap", 1).image
    grey = learned("cap").find(image, "a.bmp")
    for other in (np.repeat(image[..., None], 3, axis=2), image.astype(np.float32)):
        for one, same in zip(learned("cap").find(other, "a.bmp"), grey, strict=True):
            assert np.allclose(one.matrix, same.matrix, atol=1e-3)


def test_a_recipe_that_was_not_learned_says_what_is_missing():
    with pytest.raises(RecipeError, match="radius"):
        create_finder(TraySection(mode="round"))
    with pytest.raises(RecipeError, match="example"):
        create_finder(TraySection(mode="template"))
    assert create_finder(TraySection()) is None


def test_files_are_matched_by_name_stem_or_pattern():
    assert matches("folder/tray_07.bmp", "tray_07.bmp")
    assert matches("folder/tray_07.bmp", "tray_07")
    assert matches("tray_07.bmp", "tray_*")
    assert matches("folder/tray_07.bmp", "folder/tray_07.bmp")
    assert not matches("folder/tray_07.bmp", "tray_8*")
