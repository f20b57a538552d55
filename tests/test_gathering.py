"""From data to part images: which of them show one and the same part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from goodpart.fitting import fit
from goodpart.gathering import TrainingImages, complete_recipe, cut_parts
from goodpart.learning import learn
from goodpart.parts.render import render_part
from goodpart.parts.road import Road
from goodpart.recipe import Recipe, parse_recipe

PLAIN = {"align": {"method": "none"}, "checks": {"likeness": "off"}}
PARTS, CAPTURES = 12, 3


def captured(parts: int = PARTS, captures: int = CAPTURES, seed: int = 0) -> NDArray[np.uint8]:
    """Textured parts, each seen several times under other light and with other noise."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(parts):
        texture = np.kron(rng.normal(0, 12, (32, 32)), np.ones((2, 2)))
        for _ in range(captures):
            light, noise = rng.uniform(0.9, 1.1), rng.normal(0, 2, (64, 64))
            found.append(np.clip((120 + texture) * light + noise, 0, 255))
    return np.stack(found).astype(np.uint8)


def recipe(captures: str) -> Recipe:
    return parse_recipe({**PLAIN, "part": {"captures": captures}})


def cut(images: NDArray[np.uint8], captures: str, groups: list[str] | None = None):
    names = [f"image {index}" for index in range(len(images))]
    given = TrainingImages(list(images), list(names), list(groups or names))
    complete, state = complete_recipe(recipe(captures), given)
    return cut_parts(given, Road(complete, state))


def test_captures_of_one_part_are_found() -> None:
    found = cut(captured(), "apart")
    assert found.shown == [CAPTURES * (index // CAPTURES) for index in range(PARTS * CAPTURES)]
    assert len(set(found.groups)) == PARTS * CAPTURES, "apart: each by itself"
    assert len(set(cut(captured(), "together").groups)) == PARTS


def test_a_source_and_a_part_that_overlap_are_held_out_as_one() -> None:
    """The second image of each part shares its source with the first of the next one."""
    groups = [f"source {(index + 1) // CAPTURES}" for index in range(PARTS * CAPTURES)]
    assert len(set(cut(captured(), "together", groups).groups)) == 1


def test_different_parts_are_never_taken_for_one() -> None:
    rng = np.random.default_rng(0)
    caps = np.stack([render_part("cap", rng, size=96).image for _ in range(40)])
    assert cut(caps, "apart").shown == list(range(40))
    few = list(caps[:9])
    assert cut(np.stack(few), "apart").shown == list(range(9)), "too few to tell"
    noise = np.random.default_rng(1).normal(120, 5, (40, 64, 64)).astype(np.uint8)
    assert cut(noise, "apart").shown == list(range(40))


def test_a_black_frame_among_the_good_is_named_and_teaches_nothing() -> None:
    rng = np.random.default_rng(0)
    caps = [render_part("cap", rng, size=96).image for _ in range(40)]
    clean = TrainingImages(list(caps), [str(i) for i in range(40)], [str(i) for i in range(40)])
    names = [*clean.names, "black", "noise"]
    odd = [np.zeros((96, 96), np.uint8), rng.integers(0, 255, (96, 96), dtype=np.uint8)]
    mixed = TrainingImages([*caps, *odd], list(names), list(names))
    expected, _ = complete_recipe(Recipe(), clean)
    learned, state = complete_recipe(Recipe(), mixed)
    assert expected.align.method != "none", "rendered caps are located"
    assert learned.align.method == expected.align.method
    cut = cut_parts(mixed, Road(learned, state))
    assert {name for name, _ in mixed.left_out} >= {"black", "noise"}
    assert len(cut.names) >= 38


@pytest.mark.parametrize("detector", ["variation", "gaussian"])
def test_held_out_together_captures_score_as_a_part_never_seen(detector: str) -> None:
    images = captured()
    apart = fit(images, detector=detector, recipe=recipe("apart"))
    together = fit(images, detector=detector, recipe=recipe("together"))
    seen = np.array(list(apart.calibration["good_scores"].values()))
    unseen = np.array(list(together.calibration["good_scores"].values()))
    assert np.median(unseen) > np.median(seen)
    assert together.calibration["images"] == PARTS < apart.calibration["images"]
    assert len(together.calibration["same_part"]) == PARTS


def test_learning_more_captures_keeps_them_together(tmp_path: Path) -> None:
    model = fit(captured(), detector="gaussian", recipe=recipe("together"))
    paths = []
    for index, pixels in enumerate(captured(seed=1)):
        paths.append(tmp_path / f"{index:02d}.png")
        Image.fromarray(pixels).save(paths[-1])
    learn(model, paths)
    assert len(model.calibration["same_part"]) == 2 * PARTS
    assert model.calibration["images"] == 2 * PARTS
