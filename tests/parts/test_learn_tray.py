"""Recipes learned from trays: what is found, and what is said where nothing can be."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from goodpart.errors import DataError, ImageError, RecipeError
from goodpart.parts.find import EXAMPLE, create_finder
from goodpart.parts.learn_tray import complete_tray, learn_tray
from goodpart.recipe import TraySection


def learn(images, **settings):
    return learn_tray(TraySection(**settings), len(images), lambda index: images[index])


def test_round_parts_their_size_and_their_pockets_are_learned(tray):
    shown = [tray("cap", seed, empty=0.15) for seed in range(6)]
    section, arrays = learn([one.image for one in shown])
    radii = [p.part.radius for one in shown for p in one.truth.pockets if p.part]
    assert arrays == {}
    assert section.mode == "round"
    assert section.size == (683, 816)
    assert section.bright is True
    assert section.radius == pytest.approx(np.median(radii), rel=0.01)
    assert [p.name for p in section.pockets] == [
        "top_left",
        "top_right",
        "centre",
        "bottom_left",
        "bottom_right",
    ]
    for pocket, place in zip(
        section.pockets,
        sorted(
            shown[0].truth.pockets, key=lambda p: [q.name for q in section.pockets].index(p.name)
        ),
        strict=True,
    ):
        assert np.hypot(pocket.x - place.pocket[0], pocket.y - place.pocket[1]) < 15


def test_parts_that_are_not_round_become_an_example_with_the_longer_side_level(tray):
    section, arrays = learn([tray("tab", seed).image for seed in range(4)])
    assert section.mode == "template"
    height, width = arrays[EXAMPLE].shape
    assert section.part == (height, width)
    assert width > 1.3 * height


def test_dark_parts_on_a_bright_tray_are_learned_alike(tray):
    images = [255 - tray("cap", seed).image for seed in range(4)]
    section, arrays = learn(images)
    assert (section.mode, section.bright) == ("round", False)
    found = create_finder(section, arrays).find(images[0], "a.bmp")
    assert [one.problem for one in found] == [None] * 5


def test_what_the_recipe_says_is_kept(tray):
    images = [tray("cap", seed).image for seed in range(3)]
    section, _ = learn(images, mode="round", radius=110.0, contrast=33.0, tolerance=0.2)
    assert (section.radius, section.contrast, section.tolerance) == (110.0, 33.0, 0.2)


def test_parts_that_lie_anywhere_have_no_pockets():
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:300, :400]
    images = []
    for _ in range(8):
        image = np.full((300, 400), 20.0)
        x, y = rng.uniform(60, 340), rng.uniform(60, 240)
        image += 150 * np.clip(30.5 - np.hypot(xx - x, yy - y), 0, 1)
        images.append(image.astype(np.uint8))
    section, _ = learn(images)
    assert section.mode == "round"
    assert section.pockets == ()


def test_completing_leaves_the_layout_open_and_learns_the_rest(tray):
    images = [tray("cap", seed).image for seed in range(3)]
    section, _ = complete_tray(TraySection(mode="round"), 3, lambda index: images[index])
    assert section.radius is not None
    assert section.pockets == ()
    assert complete_tray(TraySection(), 3, lambda index: images[index]) == (TraySection(), {})


def test_a_given_example_is_read_and_its_place_not_kept(tray, learned, tmp_path):
    section, arrays = learn([tray("tab", seed).image for seed in range(2)])
    path = tmp_path / "one.png"
    Image.fromarray(arrays[EXAMPLE]).save(path)
    given = TraySection(mode="template", example=str(path))
    section, kept = complete_tray(given, 1, lambda index: tray("tab", 0).image)
    assert np.array_equal(kept[EXAMPLE], arrays[EXAMPLE])
    assert section.example == "one.png"


def test_trays_without_parts_are_refused_with_a_way_out():
    flat = [np.full((200, 300), 40, np.uint8)] * 3
    with pytest.raises(DataError, match="tray"):
        learn(flat)


def test_trays_that_cannot_be_read_are_passed_over_and_all_of_them_an_error(tray):
    good = tray("cap", 0).image

    def read(index):
        if index == 0:
            raise ImageError("unreadable", "a.bmp: broken")
        return good

    section, _ = learn_tray(TraySection(), 2, read)
    assert section.mode == "round"
    with pytest.raises(DataError, match="none of the trays"):
        learn_tray(TraySection(), 1, read)


def test_an_example_that_cannot_be_read_names_the_file(tmp_path):
    missing = TraySection(mode="template", example=str(tmp_path / "no.png"))
    with pytest.raises(RecipeError, match=r"no\.png"):
        complete_tray(missing, 1, lambda index: np.zeros((9, 9), np.uint8))
