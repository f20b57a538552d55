"""Fixed boxes: what is empty, what is cut off, and exceptions for single trays."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.errors import RecipeError
from goodpart.parts.find import create_finder
from goodpart.parts.find_boxes import variation
from goodpart.parts.learn_tray import complete_tray
from goodpart.recipe import TrayBox, TrayException, TraySection, parse_recipe

SIDE = 250


def box(name, x, y, side=SIDE):
    return TrayBox(name=name, x=round(x), y=round(y), width=side, height=side)


def boxes_for(shown):
    return tuple(
        box(p.name, p.pocket[0] - SIDE / 2, p.pocket[1] - SIDE / 2) for p in shown.truth.pockets
    )


def found_in(image, section, name="a.bmp"):
    return {
        one.pocket: one.problem[0] if one.problem else None
        for one in create_finder(section).find(image, name)
    }


def test_boxes_are_cut_as_they_are_given_and_empty_ones_reported(tray):
    shown = tray("cap", 0, empty=0.3)
    section = TraySection(mode="boxes", boxes=boxes_for(shown))
    found = create_finder(section).find(shown.image, "a.bmp")
    for one, pocket, place in zip(found, shown.truth.pockets, section.boxes, strict=True):
        assert (one.problem is None) == (not pocket.empty)
        assert one.size == (SIDE, SIDE)
        assert one.matrix.tolist() == [[1, 0, place.x], [0, 1, place.y], [0, 0, 1]]


def test_what_boxes_usually_show_is_learned(tray):
    shown = [tray("tab", seed, empty=0.3, gradient=0.6) for seed in range(4)]
    section = TraySection(mode="boxes", boxes=boxes_for(tray("tab", 0, empty=0.3, gradient=0.6)))
    section, arrays = complete_tray(section, 4, lambda index: shown[index].image)
    assert arrays == {}
    assert 60 < section.contrast < 200
    for one in shown:
        truth = {p.name: "empty" if p.empty else None for p in one.truth.pockets}
        assert found_in(one.image, section) == truth


def test_a_box_outside_the_image_is_an_empty_pocket_not_a_black_picture(tray):
    image = tray("cap", 1).image
    section = TraySection(mode="boxes", boxes=(box("in", 40, 40), box("out", 5000, 40)))
    assert found_in(image, section) == {"in": None, "out": "empty"}


def test_a_part_that_runs_over_the_border_is_cut_off_and_one_that_does_not_is_whole():
    image = np.full((300, 400), 20, np.uint8)
    image[0:120, 60:200] = 160
    image[150:260, 240:390] = 160
    section = TraySection(
        mode="boxes", boxes=(box("cut", 30, -60, 220), box("whole", 220, 120, 220))
    )
    assert found_in(image, section) == {"cut": "cut off", "whole": None}


def test_exceptions_move_boxes_on_the_files_that_they_name(tray):
    image = tray("cap", 1).image
    plain = TraySection(mode="boxes", boxes=(box("a", 40, 40), box("b", 550, 40)))
    moved = TrayException(files=("odd_*",), boxes=(box("a", 60, 70),), skip=("b",))
    section = plain.model_copy(update={"exceptions": (moved,)})
    (only,) = create_finder(section).find(image, "odd_1.bmp")
    assert only.matrix[:2, 2].tolist() == [60, 70]
    assert len(create_finder(section).find(image, "even_1.bmp")) == 2


def test_variation_leaves_single_bright_specks_out():
    image = np.full((200, 200), 30, np.uint8)
    image[100:104, 100:104] = 255
    assert variation(image, box("a", 0, 0, 200)) == 0
    image[60:140, 60:140] = 90
    assert variation(image, box("a", 0, 0, 200)) == 60
    assert variation(image, box("a", 900, 900, 200)) == 0


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"mode": "boxes"}, "mode boxes needs boxes"),
        ({"mode": "boxes", "boxes": [{"name": "../a", "x": 0, "y": 0}]}, "boxes.0.name"),
        (
            {"pockets": [{"name": "a", "x": 0, "y": 0}, {"name": "a", "x": 9, "y": 0}]},
            "two pockets are called 'a'",
        ),
        (
            {
                "pockets": [{"name": "a", "x": 0, "y": 0}],
                "exceptions": [{"files": ["*"], "skip": ["b"]}],
            },
            "names 'b', which is no pocket",
        ),
    ],
)
def test_a_recipe_with_a_mistake_names_it(values, place):
    with pytest.raises(RecipeError, match=place):
        parse_recipe({"tray": values})
