"""Pictures: what the colours mean, and that they are always drawn."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.decision import Inspection, Limits, Region, Verdict
from goodpart.decision.pictures import (
    COLOR_MAPS,
    HeatScale,
    color_table,
    heat_scale,
    png_bytes,
    render_heatmap,
    render_histogram,
    render_overlay,
    result_text,
)
from goodpart.errors import RecipeError
from goodpart.parts.read import read_image

SCALE = heat_scale(Limits(10, 10), 2.0)


@pytest.mark.parametrize("name", COLOR_MAPS)
def test_every_colour_map_has_256_colours(name):
    table = color_table(name)
    assert table.shape == (256, 3) and table.dtype == np.uint8
    assert len(np.unique(table, axis=0)) > 100


def test_reds_agrees_with_matplotlib():
    from matplotlib import colormaps

    expected = colormaps["Reds"](np.arange(256))[:, :3] * 255
    assert np.abs(color_table("Reds") - expected).max() <= 1.5


def test_an_unknown_colour_map_is_named_with_the_known_ones():
    with pytest.raises(RecipeError, match="Reds"):
        color_table("rainbows")


def test_the_limit_sits_in_the_middle_of_the_scale():
    assert SCALE.place(np.array([10.0]))[0] in (127, 128)


def test_colours_depend_on_the_limits_and_not_on_the_picture_at_hand():
    quiet = np.full((400, 400), 1.5, np.float32)
    quiet[0, 0] = 1.6
    loud = quiet.copy()
    loud[200:, 200:] = 25.0
    a, b = render_heatmap(quiet, SCALE), render_heatmap(loud, SCALE)
    assert (a[:150, :150] == b[:150, :150]).all()
    assert (b[350, 350] == color_table("Reds")[255]).all()
    assert a[:400, :400].min() > 200  # a good part looks pale


@pytest.mark.parametrize("level", [-3.0, 0.0, 2.0, 10.0, 50.0])
@pytest.mark.parametrize("limit", [-2.0, 0.0, 1e-9, 10.0])
def test_the_scale_rises_whatever_the_limits_are(level, limit):
    scale = heat_scale(Limits(limit, limit), level)
    assert scale.low < limit < scale.high


@pytest.mark.parametrize("limit", [1.23, 123456.0, 1.23e-7])
@pytest.mark.parametrize("side", [64, 480, 1200])
def test_the_numbers_beside_the_colour_bar_fit_into_the_picture(limit, side):
    picture = render_heatmap(
        np.zeros((side, side), np.float32), heat_scale(Limits(limit, limit), 0)
    )
    assert (picture[:, -2:] == 255).all()


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (64, 64), (1000, 20)])
def test_maps_of_any_shape_are_drawn(shape):
    score_map = np.linspace(0, 30, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    picture = render_heatmap(score_map, HeatScale(0, 20))
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert min(picture.shape[:2]) >= min(shape)
    assert render_histogram(score_map, SCALE, score=30.0).shape == (360, 640, 3)


def test_the_histogram_counts_only_pixels_that_count():
    score_map = np.full((50, 50), 18.0, np.float32)
    score_map[:, :10] = 0.0
    mask = np.zeros((50, 50), bool)
    mask[:, :10] = True
    everything, masked = (render_histogram(score_map, SCALE, mask=m) for m in (None, mask))
    blue = np.array([96, 125, 160])
    assert (everything[:, 560:] == blue).all(axis=2).any()
    assert not (masked[:, 560:] == blue).all(axis=2).any()


def test_values_that_are_not_finite_do_not_break_a_picture():
    score_map = np.array([[np.nan, np.inf], [-np.inf, 1.0]], np.float32)
    render_heatmap(score_map, SCALE)
    render_histogram(score_map, SCALE, score=float("nan"))


def judged(verdict, score=12.0, **more):
    return Inspection(verdict, source="cap.png", part="cap", score=score, **more)


def test_the_overlay_shows_heat_and_regions_on_the_part():
    raw_map = np.zeros((60, 60), np.float32)
    raw_map[20:30, 20:30] = 18.0
    region = Region(20, 20, 10, 10, 100, 18.0, 18.0, ((20, 20), (29, 20), (29, 29), (20, 29)))
    image = np.full((60, 60), 100, np.uint8)
    found = judged(Verdict.NG, 18.0, image=image, raw_map=raw_map, regions=(region,))
    picture = render_overlay(found, SCALE)
    assert picture is not None and picture.shape == (60, 60, 3)
    assert (picture[5, 5] == 100).all()  # nothing to see, nothing drawn
    assert picture[25, 25, 0] > picture[25, 25, 2] + 50
    assert (picture[20, 25] != picture[25, 25]).any()
    assert (image == 100).all()


def test_a_part_without_a_picture_has_no_overlay():
    found = Inspection(Verdict.NOT_JUDGED, source="x", part="x", reason="unreadable")
    assert render_overlay(found, SCALE) is None


def test_png_bytes_keep_the_colours():
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 0] = 200
    assert (read_image(png_bytes(picture)).pixels == picture).all()


@pytest.mark.parametrize("verdict", [Verdict.NG, Verdict.CHECK])
def test_only_ok_is_good(verdict):
    assert result_text(judged(Verdict.OK)).startswith("result : Good\nverdict : OK\n")
    assert result_text(judged(verdict)).startswith(f"result : Bad\nverdict : {verdict}\n")
    failed = Inspection(Verdict.NOT_JUDGED, source="x", part="x", reason="unreadable")
    text = result_text(failed)
    assert text.startswith("result : Bad\nverdict : NOT_JUDGED\n") and "unreadable" in text
