"""The whole road: trays are prepared, trained on, and judged pocket by pocket."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart import fit
from goodpart.decision import Verdict
from goodpart.parts.learn_tray import learn_tray
from goodpart.parts.prepare import find_trays, prepare
from goodpart.parts.read import read_image
from goodpart.parts.render import render_tray, write_trays
from goodpart.parts.warp import warp_part
from goodpart.recipe import parse_recipe

SIZE = (612, 512)


@pytest.fixture(scope="module")
def trays(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "trays"
    write_trays(root, normal=8, defective=0, size=SIZE)
    return find_trays(root)


@pytest.fixture(scope="module")
def recipe(trays):
    images = [read_image(tray.path).pixels for tray in trays]

    base = parse_recipe({"limits": {"overkill": 0.05}, "align": {"method": "none"}})
    section, _ = learn_tray(base.tray, len(images), lambda index: images[index])
    return base.model_copy(update={"tray": section})


@pytest.fixture(scope="module")
def model(trays, recipe):
    return fit([tray.path for tray in trays], detector="variation", recipe=recipe)


def test_a_tray_gives_one_inspection_for_each_pocket_by_name(model):
    shown = render_tray("cap", np.random.default_rng(77), size=SIZE, empty=0.35)
    assert any(pocket.empty for pocket in shown.truth.pockets)
    inspections = model.inspect_all(shown.image, name="t77.bmp")
    assert [one.pocket for one in inspections] == [p.name for p in model.recipe.tray.pockets]
    empty = {p.name: p.empty for p in shown.truth.pockets}
    for one in inspections:
        assert one.part == f"t77_{one.pocket}"
        assert (one.reason == "empty") == empty[one.pocket]
        assert (one.verdict is Verdict.NOT_JUDGED) == empty[one.pocket]


def test_the_transform_leads_from_the_part_image_back_to_the_tray(model):
    shown = render_tray("cap", np.random.default_rng(78), size=SIZE)
    for one in model.inspect_all(shown.image):
        again = warp_part(shown.image, one.transform, one.image.shape)
        assert np.abs(again.astype(int) - one.image).max() <= 1


def test_a_stain_is_ng_in_its_pocket_and_the_regions_lie_on_it(model):
    shown = render_tray(
        "cap", np.random.default_rng(79), size=SIZE, defects={"centre": "Stain"}, severity=1.0
    )
    centre = next(one for one in model.inspect_all(shown.image) if one.pocket == "centre")
    assert centre.verdict is Verdict.NG
    worst = max(centre.regions, key=lambda region: region.peak)
    x, y, _ = centre.transform @ [worst.x + worst.width / 2, worst.y + worst.height / 2, 1.0]
    rows, columns = np.nonzero(shown.mask)
    assert np.hypot(columns - x, rows - y).min() < 12


def test_training_on_prepared_parts_gives_the_same_images_as_on_the_trays(
    trays, recipe, model, tmp_path
):
    prepare(trays, tmp_path / "parts", recipe, {})
    parts = fit(tmp_path / "parts", detector="variation", recipe=recipe)
    shown = render_tray("cap", np.random.default_rng(80), size=SIZE)
    for one, other in zip(
        model.inspect_all(shown.image), parts.inspect_all(shown.image), strict=True
    ):
        assert one.image.shape == other.image.shape
        assert np.abs(one.image.astype(int) - other.image).mean() < 1


@pytest.mark.parametrize(("change", "reason"), [("turned", "rotated"), ("none", "no part")])
def test_a_tray_that_cannot_be_used_is_not_judged_and_says_why(model, change, reason):
    image = render_tray("cap", np.random.default_rng(81), size=SIZE).image
    image = np.ascontiguousarray(image.T) if change == "turned" else np.full_like(image, 15)
    (only,) = model.inspect_all(image, name="t.bmp")
    assert only.verdict is Verdict.NOT_JUDGED
    assert only.reason == reason
    assert "t.bmp" in only.message
