"""Good images added later: the model becomes that of all images, and says what changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from goodpart import Verdict, fit
from goodpart.errors import DataError, TrainingError
from goodpart.learning import learn
from goodpart.model import load
from goodpart.recipe import parse_recipe

RECIPE = {
    "align": {"method": "none"},
    "checks": dict.fromkeys(("likeness", "brightness", "contrast", "focus"), "off"),
}


def draw(rng: np.random.Generator, spot: float = 0.0) -> Any:
    """A noisy disc; ``spot`` grey levels are added to a small area."""
    y, x = np.mgrid[:48, :48]
    image = np.where(np.hypot(x - 24, y - 24) < 18, 150.0, 60.0) + rng.normal(0, 4, (48, 48))
    image[20:28, 26:34] += spot
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[Path]]:
    """Thirty plain discs and six with a bright spot that is no defect."""
    rng = np.random.default_rng(4)
    found: dict[str, list[Path]] = {"plain": [], "spot": []}
    for name, count, spot in (("plain", 30, 0.0), ("spot", 6, 60.0)):
        (tmp_path / name).mkdir()
        for index in range(count):
            path = tmp_path / name / f"{index:02d}.png"
            Image.fromarray(draw(rng, spot)).save(path)
            found[name].append(path)
    return found


def test_false_alarms_become_ok_and_the_change_is_told(files: dict[str, list[Path]]) -> None:
    model = fit(files["plain"], detector="variation", recipe=parse_recipe(RECIPE))
    earlier = model.id
    assert model.inspect(files["spot"][5]).verdict is Verdict.NG
    result = learn(model, files["spot"][:5])
    assert [change.name for change in result.given] == [str(p) for p in files["spot"][:5]]
    assert all(change.before is Verdict.NG and change.changed for change in result.given)
    assert model.inspect(files["spot"][5]).verdict is Verdict.OK, "one that was not learned"
    assert model.id != earlier and model.provenance["learned"][0]["from_model"] == earlier
    assert model.calibration["history"][-1]["why"] == "learn 5 images"
    assert len(model.calibration["good_scores"]) == 35
    assert any("train again" in note for note in result.notes)


def test_a_model_that_learned_later_equals_one_trained_on_all(
    files: dict[str, list[Path]],
) -> None:
    recipe = parse_recipe(RECIPE)
    everything = fit([*files["plain"], *files["spot"]], detector="variation", recipe=recipe)
    later = fit(files["plain"], detector="variation", recipe=recipe)
    learn(later, files["spot"])
    image = draw(np.random.default_rng(77), 30)
    assert later.inspect(image).score == pytest.approx(everything.inspect(image).score, rel=1e-3)
    assert later.provenance["data_sha256"] == everything.provenance["data_sha256"]


def test_what_was_learned_before_or_cannot_be_read_is_left_out(
    files: dict[str, list[Path]], tmp_path: Path
) -> None:
    model = fit(files["plain"], detector="variation", recipe=parse_recipe(RECIPE))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    result = learn(model, [files["plain"][0], broken, files["spot"][0], files["spot"][0]])
    assert len(result.given) == 1
    reasons = [reason for _, reason in result.left_out]
    assert sum("learned before" in reason for reason in reasons) == 2
    assert any("broken.png" in reason for reason in reasons)
    with pytest.raises(DataError, match="nothing to learn"):
        learn(model, [files["spot"][0]])


def test_an_escape_rate_wants_the_defects_again(files: dict[str, list[Path]]) -> None:
    recipe = parse_recipe({**RECIPE, "limits": {"escape": 0.2}})
    folder = files["spot"][0].parent
    model = fit(files["plain"], detector="variation", recipe=recipe, defects=folder)
    old = dict(model.calibration["defect_scores"])
    with pytest.raises(DataError, match="--defects"):
        learn(model, [files["spot"][0]])
    fresh = fit(files["plain"][:25], detector="variation", recipe=recipe, defects=folder)
    learn(fresh, files["plain"][25:], defects=folder)
    assert set(fresh.calibration["defect_scores"]) == set(old)
    assert fresh.calibration["escape"] == 0.2


def test_a_detector_that_cannot_learn_more_says_so(files: dict[str, list[Path]]) -> None:
    model = fit(files["plain"], detector="variation", recipe=parse_recipe(RECIPE))

    def refuse(*_: Any, **__: Any) -> None:
        from goodpart.detectors import Detector

        Detector.extend(model.detector, [])

    model.detector.extend = refuse  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="train it again"):
        learn(model, [files["spot"][0]])


def test_learning_survives_saving(files: dict[str, list[Path]], tmp_path: Path) -> None:
    model = fit(files["plain"], detector="variation", recipe=parse_recipe(RECIPE))
    learn(model, files["spot"][:3])
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    learn(again, files["spot"][3:])
    learn(model, files["spot"][3:])
    image = draw(np.random.default_rng(5), 20)
    assert again.inspect(image).score == pytest.approx(model.inspect(image).score, rel=1e-5)
    assert again.limits.ng == pytest.approx(model.limits.ng, rel=1e-5)
