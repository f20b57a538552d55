"""Models: saved and loaded with the same scores, never OK on a failure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import goodpart
from goodpart import Verdict
from goodpart.errors import DataError, ModelError
from goodpart.fitting import fit
from goodpart.model import Model, load
from goodpart.model_folder import MANIFEST


def parts(count: int = 24, side: int = 64, seed: int = 0) -> np.ndarray:
    """Grey discs with a little noise: good parts that any detector learns."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:side, :side]
    disc = np.where(np.hypot(yy - side / 2, xx - side / 2) < side * 0.4, 170.0, 40.0)
    return np.clip(disc + rng.normal(0, 4, (count, side, side)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> Model:
    return fit(parts(), detector="variation")


def stained(side: int = 64) -> np.ndarray:
    image = parts(1, side, seed=9)[0].copy()
    image[28:36, 28:36] = 20
    return image


def test_good_parts_are_ok_and_a_stain_is_ng_with_its_region(model: Model) -> None:
    assert model.inspect(parts(1, seed=5)[0]).verdict is Verdict.OK
    inspection = model.inspect(stained())
    assert inspection.verdict is Verdict.NG
    (region,) = inspection.regions
    assert 22 <= region.x <= 30
    assert 22 <= region.y <= 30
    assert inspection.score_map is not None
    assert inspection.score_map.shape == (64, 64)


def test_a_saved_model_gives_the_same_scores(model: Model, tmp_path: Path) -> None:
    loaded = load(model.save(tmp_path / "model"))
    image = stained()
    assert loaded.inspect(image).score == model.inspect(image).score
    assert loaded.limits == model.limits
    assert loaded.id == model.id
    assert loaded.recipe == model.recipe


def test_an_array_that_lies_transposed_in_memory_comes_back_as_it_was(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread = model.detector.spread_ + np.arange(64, dtype=np.float32)[:, None]  # type: ignore[attr-defined]
    monkeypatch.setattr(model.detector, "spread_", np.asfortranarray(spread))
    loaded = load(model.save(tmp_path / "model"))
    assert np.array_equal(loaded.detector.spread_, spread)  # type: ignore[attr-defined]


def test_file_bytes_and_array_give_the_same_score(model: Model, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "part.png"
    Image.fromarray(stained()).save(path)
    scores = {model.inspect(source).score for source in (path, path.read_bytes(), stained())}
    assert len(scores) == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"", "empty file"),
        (b"nonsense", "unreadable"),
        (np.zeros((8, 8), np.float32), "unsupported"),
        ("no such file.png", "missing"),
    ],
)
def test_an_image_that_fails_is_not_judged(model: Model, source: object, reason: str) -> None:
    inspection = model.inspect(source)  # type: ignore[arg-type]
    assert inspection.verdict is Verdict.NOT_JUDGED
    assert inspection.reason == reason
    assert inspection.score is None


def test_a_colour_image_where_grey_was_learned_is_not_judged(model: Model) -> None:
    color = np.zeros((64, 64, 3), np.uint8)
    color[:, :, 0] = 200
    assert model.inspect(color).verdict is Verdict.NOT_JUDGED


def test_three_equal_channels_are_grey(model: Model) -> None:
    image = stained()
    assert model.inspect(np.repeat(image[:, :, None], 3, axis=2)).verdict is Verdict.NG


def test_a_detector_that_fails_is_not_judged(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(images: object) -> object:
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr(model.detector, "raw_maps", broken)
    inspection = model.inspect(stained())
    assert inspection.verdict is Verdict.NOT_JUDGED
    assert inspection.reason == "model error"


def test_a_score_that_is_no_number_is_not_judged(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan = [np.full((64, 64), np.nan, np.float32)]
    monkeypatch.setattr(model.detector, "raw_maps", lambda images: nan)
    assert model.inspect(stained()).verdict is Verdict.NOT_JUDGED


def test_an_existing_model_is_not_overwritten_without_force(model: Model, tmp_path: Path) -> None:
    target = model.save(tmp_path / "model")
    with pytest.raises(ModelError, match="--force"):
        model.save(target)
    assert load(model.save(target, force=True)).id == model.id


def damage_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest.update(changes)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_a_model_with_damaged_arrays_is_not_loaded(model: Model, tmp_path: Path) -> None:
    target = model.save(tmp_path / "model")
    arrays = target / "detector.safetensors"
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(bytes(content))
    with pytest.raises(ModelError, match="has changed since training"):
        load(target)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limits": {"ok": 2.0, "ng": 1.0}}, "damaged"),
        ({"detector": {"name": "os.system"}}, "damaged"),
        ({"files": {}}, "has no"),
    ],
)
def test_manifests_that_are_not_right_are_one_line(
    model: Model, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    target = model.save(tmp_path / "model")
    damage_manifest(target, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        load(target)
    assert "\n" not in str(caught.value)


def test_the_public_names_are_there() -> None:
    assert all(hasattr(goodpart, name) for name in goodpart.__all__)
    assert callable(goodpart.fit)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = goodpart.nonsense


def test_an_array_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(DataError, match=r"\(N, H, W\)"):
        fit(np.zeros((4, 4), np.uint8), detector="variation")
