"""The template brings parts onto each other: shift, size, angle, whatever the light and defects."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from goodpart.parts.align_template import TemplateAligner, learn_template
from goodpart.parts.render import render_part
from goodpart.parts.views import Location, views_of
from goodpart.recipe import AlignSection

SIDE = 256
CENTRE = (SIDE - 1) / 2
TURNED = AlignSection(method="template", rotation="angle", least_match=0.5)
STRAIGHT = AlignSection(method="template", rotation="none", least_match=0.5)


@pytest.fixture(scope="module")
def part() -> NDArray[np.uint8]:
    """A tab on its tray, wider than what is looked at so that it can be moved without a seam."""
    return render_part("tab", np.random.default_rng(0), size=2 * SIDE, angle=0.0).image


def moved(
    part: NDArray[np.uint8], x: float = 0.0, y: float = 0.0, size: float = 0.5, angle: float = 0.0
) -> NDArray[np.uint8]:
    """The part with its middle (x, y) from the image's middle, its size and angle changed."""
    c, s = size * np.cos(angle), size * np.sin(angle)
    old = (part.shape[0] - 1) / 2
    shift = (CENTRE + x - c * old + s * old, CENTRE + y - s * old - c * old)
    matrix = np.array([[c, -s, shift[0]], [s, c, shift[1]]])
    blurred = cv2.GaussianBlur(part, (0, 0), 0.8)
    return np.asarray(
        cv2.warpAffine(blurred, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    )


def aligner(part: NDArray[np.uint8], section: AlignSection) -> TemplateAligner:
    template = cv2.resize(moved(part), (128, 128), interpolation=cv2.INTER_AREA)
    return TemplateAligner(section, {"template": template.astype(np.float32)}, (SIDE, SIDE))


@pytest.fixture(scope="module")
def turning(part: NDArray[np.uint8]) -> TemplateAligner:
    return aligner(part, TURNED)


def place_of(location: Location) -> tuple[float, float, float, float]:
    """How far the part's middle lies from the image's, its size and its angle."""
    middle = location.matrix @ [CENTRE, CENTRE, 1]
    size = float(np.hypot(location.matrix[0, 0], location.matrix[1, 0]))
    angle = float(np.arctan2(location.matrix[1, 0], location.matrix[0, 0]))
    return float(middle[0] - CENTRE), float(middle[1] - CENTRE), size, angle


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-12, 12), y=st.floats(-12, 12), angle=st.floats(-np.pi, np.pi),
    size=st.floats(0.97, 1.03),
)  # fmt: skip
def test_shift_size_and_any_angle_are_found(
    part: NDArray[np.uint8], turning: TemplateAligner, x: float, y: float, angle: float, size: float
) -> None:
    location = turning.locate(views_of(moved(part, x, y, size / 2, angle)))
    assert location is not None and location.match > 0.8
    found = place_of(location)
    assert found[:2] == (pytest.approx(x, abs=0.3), pytest.approx(y, abs=0.3))
    assert found[2] == pytest.approx(size, abs=0.003)
    assert abs(np.angle(np.exp(1j * (found[3] - angle)))) < np.deg2rad(0.3)


def test_a_straight_part_keeps_its_angle(part: NDArray[np.uint8]) -> None:
    location = aligner(part, STRAIGHT).locate(views_of(moved(part, 9.0, -7.0)))
    assert location is not None
    assert place_of(location) == (
        pytest.approx(9, abs=0.2), pytest.approx(-7, abs=0.2), pytest.approx(1, abs=0.002), 0.0,
    )  # fmt: skip


def test_neither_light_nor_a_defect_moves_the_part(
    part: NDArray[np.uint8], turning: TemplateAligner
) -> None:
    image = moved(part, 5.0, 3.0, angle=0.4)
    plain = turning.locate(views_of(image))
    dark = turning.locate(views_of((0.55 * image.astype(np.float32) + 30).astype(np.uint8)))
    stained = image.copy()
    cv2.circle(stained, (150, 120), 22, 15, -1)
    spoiled = turning.locate(views_of(stained))
    assert plain is not None and dark is not None and spoiled is not None
    assert place_of(dark) == pytest.approx(place_of(plain), abs=0.05)
    assert place_of(spoiled) == pytest.approx(place_of(plain), abs=0.25)


def test_what_is_no_such_part_is_not_located(turning: TemplateAligner) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    assert turning.locate(views_of(noise)) is None
    assert turning.locate(views_of(np.full((SIDE, SIDE), 90, np.uint8))) is None


@pytest.mark.parametrize("section", [TURNED, STRAIGHT], ids=["turned", "straight"])
def test_a_fit_with_nothing_to_hold_on_to_does_not_run_away(section: AlignSection) -> None:
    template = np.full((64, 64), 249, np.float32)
    template[3:6, 3:6] = 252
    image = np.full((64, 64), 249, np.uint8)
    image[16:32, 16:32] = 252
    anything = section.model_copy(update={"least_match": -1.0})
    location = TemplateAligner(anything, {"template": template}, (64, 64)).locate(views_of(image))
    assert location is not None
    assert 0.5 < float(np.hypot(location.matrix[0, 0], location.matrix[1, 0])) < 2


def test_the_template_is_the_median_part_at_one_place(part: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(2)
    places = [(*rng.uniform(-10, 10, 2), rng.uniform(-np.pi, np.pi)) for _ in range(12)]
    views = [views_of(moved(part, x, y, angle=angle)) for x, y, angle in places]
    template = learn_template(views, TURNED, (SIDE, SIDE))
    learned = TemplateAligner(TURNED, {"template": template}, (SIDE, SIDE))
    turns = []
    for view, (_, _, angle) in zip(views, places, strict=True):
        location = learned.locate(view)
        assert location is not None
        turns.append(np.exp(1j * (place_of(location)[3] - angle)))
    # Whatever the template's own angle is, every part has the same against it.
    assert np.rad2deg(np.abs(np.angle(turns / turns[0]))).max() < 0.5
