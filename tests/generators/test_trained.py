from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from goodpart.errors import ModelError, TrainingError  # noqa: E402
from goodpart.generators import create_generator  # noqa: E402
from goodpart.generators.adversarial import HEALTHY, Adversarial  # noqa: E402
from goodpart.generators.base import Shape  # noqa: E402
from goodpart.generators.collapse import GRACE, PATIENCE, Handling, Health  # noqa: E402
from goodpart.generators.trained import (  # noqa: E402
    TrainedGenerator,
    load_generator,
    train_generator,
)

SHAPE = Shape(1, 32, 32)


def learn(
    parts: NDArray[np.uint8], folder: Path, settings: dict[str, Any], **more: Any
) -> TrainedGenerator:
    name = more.pop("name", "light_gan")
    generator = create_generator(name, {"precision": "32-true", **settings})
    images = parts[..., None]
    return train_generator(generator, SHAPE, images, folder=folder, accelerator="cpu", **more)


def images(trained: TrainedGenerator, seed: int = 0) -> NDArray[np.uint8]:
    return np.stack(list(islice(trained.draw(seed), 6)))


def test_training_keeps_curves_and_pictures(
    parts: NDArray[np.uint8], tmp_path: Path, tiny: dict[str, Any]
) -> None:
    told: list[str] = []
    trained = learn(parts, tmp_path, tiny, progress=lambda stage, *_: told.append(stage))
    assert images(trained).shape == (6, 32, 32) and images(trained).dtype == np.uint8
    history = json.loads(trained.files["training/curves.json"])
    assert len(history) == 3
    assert {"train/drawing", "train/judging", "validation/diversity"} <= set(history[0])
    pictures = sorted(name for name in trained.files if "pictures" in name)
    assert [p[-9:] for p in pictures] == ["00001.png", "00002.png"]
    assert list((tmp_path / "tensorboard" / "pictures").iterdir())
    assert told[-1].startswith("generator 3/3 loss")


def test_dcgan_trains_too(parts: NDArray[np.uint8], tmp_path: Path) -> None:
    trained = learn(parts, tmp_path, {"epochs": 1, "batch": 4}, name="dcgan")
    assert images(trained).shape == (6, 32, 32)
    assert trained.provenance["epochs"] == 1


def test_the_same_seed_gives_the_same_images_also_after_an_interruption(
    parts: NDArray[np.uint8], tmp_path: Path, tiny: dict[str, Any]
) -> None:
    whole = learn(parts, tmp_path / "whole", tiny, seed=3)

    def stop(stage: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(parts, tmp_path / "cut", tiny, seed=3, progress=stop)
    resumed = learn(parts, tmp_path / "cut", tiny, seed=3)
    assert resumed.provenance["epochs"] == 3
    assert np.array_equal(images(whole, 7), images(resumed, 7))
    other = learn(parts, tmp_path / "other", tiny, seed=4)
    assert not np.array_equal(images(whole, 7), images(other, 7))
    assert not np.array_equal(images(whole, 7), images(whole, 8))


def test_a_checkpoint_of_other_networks_is_not_taken(
    parts: NDArray[np.uint8],
    tmp_path: Path,
    tiny: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn(parts, tmp_path, {**tiny, "epochs": 1})
    # As if another version of goodpart had left its training behind.
    from goodpart.generators import light_gan

    monkeypatch.setattr(light_gan, "WIDTHS", (32, *light_gan.WIDTHS[1:]))
    assert learn(parts, tmp_path, {**tiny, "epochs": 1}).provenance["epochs"] == 1


def test_the_average_draws_and_follows_slowly(
    parts: NDArray[np.uint8], tmp_path: Path, tiny: dict[str, Any]
) -> None:
    generator = create_generator("light_gan", {**tiny, "average": 0.5})
    task = Adversarial(generator, SHAPE, parts[..., None], tmp_path)
    average, drawing = (next(task.modules[k].parameters()) for k in ("average", "drawing"))
    start = average.clone()
    with torch.no_grad():
        drawing += 1
    moved = []
    for _ in range(12):
        task._follow()
        moved.append(float((average - start).mean()))
    # A tenth of the way is kept of the start at first, then half of it in every step.
    assert moved[0] == pytest.approx(0.9, abs=1e-4)
    assert moved == sorted(moved) and 0.99 < moved[-1] <= 1.0001
    last = learn(parts, tmp_path / "b", {**tiny, "average": 0.0})
    assert last.provenance["epochs"] == 3


def test_a_kept_generator_draws_the_same(
    parts: NDArray[np.uint8], tmp_path: Path, tiny: dict[str, Any]
) -> None:
    trained = learn(parts, tmp_path / "work", tiny)
    trained.save(tmp_path / "kept")
    again = load_generator(tmp_path / "kept")
    assert again.id == trained.id and again.shape == SHAPE
    assert again.provenance == trained.provenance
    assert np.array_equal(images(trained, 5), images(again, 5))


def test_a_changed_or_damaged_generator_is_refused(
    parts: NDArray[np.uint8], tmp_path: Path, tiny: dict[str, Any]
) -> None:
    learn(parts, tmp_path / "work", {**tiny, "epochs": 1}).save(tmp_path / "kept")
    manifest = tmp_path / "kept" / "manifest.json"
    text = manifest.read_text(encoding="utf-8")

    def refused(changed: str, message: str) -> None:
        manifest.write_text(changed, encoding="utf-8")
        with pytest.raises(ModelError, match=message) as caught:
            load_generator(tmp_path / "kept")
        assert "\n" not in str(caught.value)

    refused("{", "cannot be read")
    refused("[]", "is not a generator")
    refused(text.replace('"format": 1', '"format": 99'), "newer")
    refused(text.replace('"height": 32', '"height": 64'), "damaged")
    refused(text.replace('"height": 32', '"height": 99999999'), "damaged")
    refused(text.replace("generator.safetensors", "../generator.safetensors"), "outside")
    refused(text.replace('"light_gan"', '"other"'), "not a generator of this version")
    manifest.write_text(text, encoding="utf-8")
    weights = tmp_path / "kept" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="has changed"):
        load_generator(tmp_path / "kept")
    weights.unlink()
    with pytest.raises(ModelError, match="missing"):
        load_generator(tmp_path / "kept")
    with pytest.raises(ModelError, match="not a generator folder"):
        load_generator(tmp_path)


def test_health_sees_a_won_game_and_equal_images() -> None:
    health = Health()
    assert [health(0.0, 1.0) for _ in range(PATIENCE - 1)] == [None] * (PATIENCE - 1)
    assert "has won" in str(health(0.0, 1.0))
    health = Health()
    quiet = [health(1.0, 0.0) for _ in range(GRACE + PATIENCE - 1)]
    assert quiet == [None] * len(quiet) and not health.well
    assert "alike" in str(health(1.0, 0.0))
    health = Health()
    for _ in range(50):
        assert health(1.0, 0.5) is None
        assert health(0.0, 0.0) is None
    assert not health.well and health(1.0, 0.5) is None and health.well


def test_each_collapse_slows_the_judge_and_adds_noise() -> None:
    first, second = Handling.after(1), Handling.after(2)
    assert 1 > first.slower > second.slower and 0 < first.noise < second.noise


def collapse_while(
    monkeypatch: pytest.MonkeyPatch, epoch: int, slower: float
) -> list[tuple[int, float]]:
    """Draw the same for every noise after an epoch, until the judge is slower than this."""
    seen: list[tuple[int, float]] = []
    draw = Adversarial._draw_fixed

    def fixed(self: Adversarial) -> Any:
        seen.append((self.epoch, self.handling.slower))
        drawn = draw(self)
        bad = self.epoch > epoch and self.handling.slower > slower
        return torch.zeros_like(drawn) if bad else torch.randn_like(drawn)

    monkeypatch.setattr(Adversarial, "_draw_fixed", fixed)
    return seen


def test_a_collapse_goes_back_to_the_last_healthy_checkpoint(
    parts: NDArray[np.uint8],
    tmp_path: Path,
    tiny: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = collapse_while(monkeypatch, GRACE + 3, 0.5)
    said: list[str] = []
    given = {**tiny, "epochs": GRACE + PATIENCE + 5, "steps": 1}
    trained = learn(parts, tmp_path, given, say=said.append)
    assert [len(trained.provenance["collapses"]), len(said)] == [1, 1]
    assert "last healthy checkpoint" in said[0] and "alike" in said[0]
    assert trained.provenance["epochs"] == GRACE + PATIENCE + 5
    restarted = next(place for place, (_, slower) in enumerate(seen) if slower < 1)
    assert seen[restarted - 1][0] == GRACE + 3 + PATIENCE
    # The checkpoint before the last epoch in which all was well.
    assert seen[restarted][0] == GRACE + 3
    assert (tmp_path / HEALTHY).is_file()


def test_a_generator_that_collapses_again_and_again_is_given_up(
    parts: NDArray[np.uint8],
    tmp_path: Path,
    tiny: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collapse_while(monkeypatch, 0, 0.0)
    said: list[str] = []
    given = {**tiny, "epochs": 40, "steps": 1}
    with pytest.raises(TrainingError, match=r"collapsed 3 times.*another --seed"):
        learn(parts, tmp_path, given, say=said.append)
    assert len(said) == 2 and all("the start" in text for text in said)
