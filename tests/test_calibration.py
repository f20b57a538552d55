"""Limits are set from kept scores, again and again, and what they cost is told exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from goodpart import fit
from goodpart.calibration import (
    choices,
    costs,
    defect_files,
    first_wish,
    score_defects,
    set_again,
    write_limits,
)
from goodpart.decision import Limits
from goodpart.errors import DataError, ModelError
from goodpart.model import load
from goodpart.model_folder import change_manifest, read_manifest
from goodpart.recipe import LimitsSection, parse_recipe


def story_of(good: Any, defects: Any = (), **more: Any) -> dict[str, Any]:
    """A calibration with these scores, before any limit was set."""
    return {
        "good_scores": {f"g{i}": float(score) for i, score in enumerate(good)},
        "defect_scores": {f"d{i}": float(score) for i, score in enumerate(defects)},
        "vouched": [],
        "held_out": "cross-fitted",
        "own_limit": None,
        "captures": "apart",
        "same_part": [],
        "history": [],
        **more,
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory: Any) -> Any:
    """A saved variation model of 120 noise images."""
    images = np.random.default_rng(0).normal(120, 6, (120, 32, 32)).astype(np.uint8)
    recipe = parse_recipe({"align": {"method": "none"}, "checks": {"likeness": "off"}})
    model = fit(images, detector="variation", recipe=recipe)
    return model.save(tmp_path_factory.mktemp("models") / "noise")


def test_a_lower_overkill_raises_the_limit_and_nothing_else(saved: Any) -> None:
    before = load(saved)
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    story = read_manifest(saved)["calibration"]
    limits, _ = write_limits(saved, story, LimitsSection(overkill=0.2), why="limits")
    after = load(saved)
    assert after.limits == limits
    assert limits.ng < before.limits.ng
    assert after.recipe.limits.overkill == 0.2, "the recipe in the model says what is run"
    assert after.id == before.id
    assert {p.name for p in saved.iterdir()} == set(files), "no temporary file is left"
    for name, content in files.items():
        if name != "manifest.json":
            assert (saved / name).read_bytes() == content
    image = np.random.default_rng(9).normal(120, 6, (32, 32)).astype(np.uint8)
    assert after.inspect(image).score == before.inspect(image).score


def test_every_change_is_in_the_history_and_training_can_be_restored(saved: Any) -> None:
    first = read_manifest(saved)["calibration"]["history"][0]
    assert first["why"] == "trained"
    for wish in (LimitsSection(overkill=0.1), LimitsSection(ok=1.0, ng=2.0)):
        story = read_manifest(saved)["calibration"]
        write_limits(saved, story, wish, why="limits by test")
    story = read_manifest(saved)["calibration"]
    assert [entry["limits"] for entry in story["history"]][-1] == {"ok": 1.0, "ng": 2.0}
    assert story["guarantee"] == "by hand" and not story["promised"]
    wish, own = first_wish(story)
    limits, _ = write_limits(saved, story, wish, own=own, why="limits --as-trained")
    assert {"ok": limits.ok, "ng": limits.ng} == first["limits"]
    assert len(read_manifest(saved)["calibration"]["history"]) >= 4


def test_a_change_that_cannot_be_written_leaves_the_manifest(saved: Any, monkeypatch: Any) -> None:
    whole = (saved / "manifest.json").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("goodpart.model_folder.os.fsync", full)
    with pytest.raises(ModelError, match="No space left"):
        change_manifest(saved, level=1.0)
    assert (saved / "manifest.json").read_bytes() == whole
    assert not list(saved.glob(".*"))


def test_costs_count_what_the_limits_do_to_kept_scores() -> None:
    story = story_of(np.arange(100), defects=[10, 50, 150, 200], outliers=["g99"])
    found = costs(story, Limits(ok=40.0, ng=90.0))
    assert (found["overkill"]["count"], found["overkill"]["n"]) == (8, 99)
    assert found["check_good"]["count"] == 50
    assert found["escape"]["count"] == 1 and found["check_defective"]["count"] == 1
    low, high = found["escape"]["interval95"]
    assert low < 0.25 < high
    assert costs(story_of([1, 2], outliers=[]), Limits(1, 1))["escape"]["rate"] is None


def test_choices_end_at_the_smallest_rate_that_can_be_promised() -> None:
    _, story = set_again(story_of(np.arange(150.0)), LimitsSection(), why="trained")
    rows = choices(story)
    assert [row["overkill"] for row in rows] == [0.05, 0.02, 0.01, pytest.approx(1 / 151)]
    assert [row["limit"] for row in rows] == sorted(row["limit"] for row in rows)


def test_a_detectors_own_limit_stands_until_a_rate_is_asked_for() -> None:
    story = story_of(np.arange(150.0), own_limit=13.0)
    limits, kept = set_again(story, LimitsSection(), own=True, why="trained")
    assert limits == Limits(13.0, 13.0) and kept["guarantee"] == "the detector's own"
    asked, kept = set_again(kept, LimitsSection(overkill=0.02), why="limits")
    assert asked.ng == pytest.approx(146.98) and kept["guarantee"] == "cross-fitted"
    assert set_again(kept, *first_wish(kept)[:1], own=first_wish(kept)[1], why="back")[0] == limits


def test_an_escape_rate_without_defects_says_what_to_give() -> None:
    with pytest.raises(DataError, match="--defects"):
        set_again(story_of(np.arange(50.0)), LimitsSection(escape=0.1), why="limits")


def test_images_that_a_person_vouched_for_never_stand_out() -> None:
    scores = [*np.random.default_rng(0).normal(2, 0.3, 250), 40.0]
    _, story = set_again(story_of(scores), LimitsSection(), why="trained")
    assert story["outliers"] == ["g250"]
    limits, story = set_again({**story, "vouched": ["g250"]}, LimitsSection(), why="learn")
    assert story["outliers"] == []
    assert limits.ng < 40.0, "one image in 251 is within the rate"


def test_captures_of_one_part_are_said_and_count_once_where_held_out_together() -> None:
    """40 parts, five captures of each; the fifth scores as high as the part's number."""
    scores = [float(part) if capture == 4 else 0.5 for part in range(40) for capture in range(5)]
    same = [[f"g{5 * part + capture}" for capture in range(5)] for part in range(40)]
    limits, apart = set_again(story_of(scores, same_part=same), LimitsSection(), why="trained")
    assert apart["images"] == 200 and apart["promised"]
    assert "200 good images show 40 different parts" in apart["notes"][-1]
    assert "part.captures=together" in apart["notes"][-1]
    story = story_of(scores, same_part=same, captures="together")
    limits, together = set_again(story, LimitsSection(overkill=0.1), why="trained")
    assert together["images"] == 40
    assert limits.ng == pytest.approx(35.9), "0.1 * 41 = 4.1 of the parts score higher: 36 to 39"
    assert "40 different good parts" in together["notes"][0]
    assert costs(together, limits)["overkill"]["n"] == 40
    assert choices(together)[-1]["overkill"] == pytest.approx(1 / 41)
    _, strict = set_again(together, LimitsSection(), why="limits")
    assert not strict["promised"], "40 parts cannot promise 1 %, however many images show them"


def test_a_few_captures_of_one_part_are_not_worth_a_note() -> None:
    story = story_of(np.arange(100.0), same_part=[["g1", "g2"]])
    assert not any(
        "different parts" in note for note in set_again(story, LimitsSection(), why="")[1]["notes"]
    )


def test_defects_come_from_folders_but_never_from_a_test_side(tmp_path: Any) -> None:
    for name in ("a/1.png", "b/2.png", "3.png"):
        (tmp_path / "defects" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "defects" / name).write_bytes(b"x")
    assert len(defect_files(tmp_path / "defects")) == 3
    (tmp_path / "data/test/scratch").mkdir(parents=True)
    with pytest.raises(DataError, match="measure"):
        defect_files(tmp_path / "data")
    with pytest.raises(DataError, match="no such folder"):
        defect_files(tmp_path / "nothing")


def test_defects_that_cannot_be_read_are_named_not_fatal(saved: Any, tmp_path: Any) -> None:
    from PIL import Image

    noise = np.random.default_rng(5).normal(120, 6, (32, 32)).astype(np.uint8)
    noise[10:14, 10:14] = 200
    Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    model = load(saved)
    scores, problems = score_defects(model, defect_files(tmp_path))
    assert list(scores) == [str(tmp_path / "a.png")]
    assert len(problems) == 1 and "b.png" in problems[0]
    with pytest.raises(DataError, match="none of the defective parts"):
        score_defects(model, [tmp_path / "b.png"])
