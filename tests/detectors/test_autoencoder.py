from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from goodpart.detectors import create_detector
from goodpart.detectors.autoencoder import Autoencoder
from goodpart.detectors.engine import Network
from goodpart.errors import ModelError, NotFittedError, RecipeError, TrainingError
from goodpart.exporting import to_onnx
from goodpart.fitting import fit
from goodpart.model import load
from goodpart.recipe import Recipe, parse_recipe

SMALL: dict[str, dict[str, Any]] = {
    "restore": {"size": 64, "epochs": 14, "batch": 8, "widths": (16, 24, 32)},
    "seed": {"preset": "seed", "size": 72, "epochs": 2, "batch": 8},
}


def parts(count: int = 20, seed: int = 0, colour: bool = False) -> list[np.ndarray]:
    """Rings of varying brightness with noise, 64 × 64."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64]
    rings = np.cos(np.hypot(rows - 31.5, columns - 31.5) / 4)
    images = []
    for _ in range(count):
        image = 120 + rng.uniform(50, 70) * rings + rng.normal(0, 3, (64, 64))
        grey = np.clip(image, 0, 255).astype(np.uint8)
        images.append(np.stack([grey, grey, 255 - grey], axis=2) if colour else grey)
    return images


def defective(image: np.ndarray) -> np.ndarray:
    spoiled = image.copy()
    spoiled[36:44, 12:20] = 255
    return spoiled


@pytest.fixture(scope="module")
def restore() -> Autoencoder:
    return Autoencoder(**SMALL["restore"]).fit(parts())


@pytest.fixture(scope="module")
def seed() -> Autoencoder:
    return Autoencoder(**SMALL["seed"]).fit(parts())


def test_a_defect_scores_above_every_held_out_good_part(restore: Autoencoder) -> None:
    good = [float(held.raw_map.max()) for held in restore.held_out_]
    bad = restore.raw_map(defective(parts(1, seed=9)[0]))
    assert bad.max() > 2 * max(good)
    row, column = np.unravel_index(bad.argmax(), bad.shape)
    assert 34 <= 4 * row <= 46 and 10 <= 4 * column <= 22


def test_every_good_part_is_held_out_once(restore: Autoencoder) -> None:
    assert [held.index for held in restore.held_out_] == list(range(20))
    assert restore.guarantee == "cross-fitted"


def test_parts_in_any_orientation_count_at_every_quarter_turn(restore: Autoencoder) -> None:
    assert restore.turns_
    assert [member.gaussians.moments.count for member in restore.members_] == [40, 40]
    fixed = Autoencoder(**{**SMALL["restore"], "epochs": 1, "augment": "none"}).fit(parts(8))
    assert [member.gaussians.moments.count for member in fixed.members_] == [4, 4]


def test_what_lies_outside_the_mask_does_not_count() -> None:
    mask = np.zeros((64, 64), dtype=np.bool_)
    mask[:, 32:] = True
    detector = Autoencoder(**{**SMALL["restore"], "epochs": 1}).fit(parts(8), mask=mask)
    assert np.all(detector.raw_map(defective(parts(1)[0]))[:, :8] == 0)


def test_the_seed_sets_its_limits_on_parts_it_never_learned_from(seed: Autoencoder) -> None:
    assert seed.guarantee == "split"
    assert len(seed.held_out_) == 4


@pytest.mark.parametrize("name", ["restore", "seed"])
def test_a_saved_detector_gives_the_same_maps(name: str, request: pytest.FixtureRequest) -> None:
    detector: Autoencoder = request.getfixturevalue(name)
    state = detector.state()
    json.dumps(state.values)
    again = Autoencoder(**SMALL[name]).restore(state)
    image = defective(parts(1)[0])
    assert np.array_equal(detector.raw_map(image), again.raw_map(image))
    assert np.array_equal(detector.reconstruct(image), again.reconstruct(image))


def test_batching_changes_no_value(restore: Autoencoder) -> None:
    images = parts(3)
    together = restore.raw_maps(images)
    assert all(np.array_equal(restore.raw_map(i), m) for i, m in zip(images, together, strict=True))


def test_the_same_seed_gives_the_same_detector() -> None:
    settings = {**SMALL["restore"], "epochs": 1}
    maps = [Autoencoder(**settings).fit(parts(), seed=s).raw_map(parts(1)[0]) for s in (1, 1, 2)]
    assert np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def test_the_reconstruction_has_the_size_of_the_part(restore: Autoencoder) -> None:
    spoiled = defective(parts(1)[0])
    drawn = restore.reconstruct(spoiled)
    assert drawn.shape == spoiled.shape and drawn.dtype == np.uint8
    # The spot is gone: what was white is drawn as the ring below it.
    assert drawn[36:44, 12:20].mean() < 220


def test_torch_and_onnx_agree(restore: Autoencoder, seed: Autoencoder) -> None:
    import torch

    from goodpart.detectors.autoencoder_networks import Restorer, SeedAutoencoder

    rng = np.random.default_rng(0)
    for detector, network in (
        (restore, Restorer(1, (16, 24, 32), ())),
        (seed, SeedAutoencoder()),
    ):
        weights = {k: torch.from_numpy(v) for k, v in detector.weights_[0].items()}
        network.load_state_dict(weights)
        given = rng.standard_normal((2, *detector.shape_), dtype=np.float32)
        with torch.no_grad():
            expected = network.eval()(torch.from_numpy(given)).numpy()
        found = Network(detector.files_[0])(given)[0]
        assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


def test_layers_add_up_to_the_network(seed: Autoencoder) -> None:
    values = seed.state().values
    assert values["parameters"] == 19_693
    latent = next(
        layer
        for layer in values["layers"]
        if layer["kind"] == "MaxPool2d" and layer["output"] == [16, 3, 3]
    )
    assert latent["parameters"] == 0


def test_colour_parts_keep_their_colour() -> None:
    images = parts(12, colour=True)
    detector = Autoencoder(**{**SMALL["restore"], "epochs": 1}).fit(images)
    assert detector.shape_ == (3, 64, 64)
    assert detector.reconstruct(images[0]).shape == (64, 64, 3)
    assert detector.raw_map(images[0]).shape == (16, 16)


def test_parts_that_are_not_square_keep_their_proportions() -> None:
    images = [image[:40] for image in parts(8)]
    detector = Autoencoder(**{**SMALL["restore"], "epochs": 1}).fit(images)
    assert detector.shape_ == (1, 48, 64) or detector.shape_ == (1, 32, 64)
    assert not detector.turns_


def test_a_collapse_is_said() -> None:
    detector = Autoencoder(**{**SMALL["seed"], "rate": 1e-9, "epochs": 1}).fit(parts())
    assert "collapsed" in detector.warnings_[0]


def test_a_trained_restorer_gives_no_warning(restore: Autoencoder) -> None:
    assert restore.warnings_ == []


def test_curves_are_kept_for_the_model_folder(restore: Autoencoder) -> None:
    names = set(restore.artifacts_)
    assert "training/network_1/training/curves.csv" in names
    assert any(name.endswith("curves.png") for name in names)


def test_more_images_are_learned_without_training(restore: Autoencoder) -> None:
    more = Autoencoder(**SMALL["restore"]).restore(restore.state())
    odd = parts(2, seed=5)
    odd[0] = defective(odd[0])
    before = more.score(more.raw_map(odd[0]))
    more.extend(odd)
    assert [held.index for held in more.held_out_] == [0, 1]
    after = more.score(more.raw_map(odd[0]))
    assert after < before, "it was learned"
    held_out = more.score(more.held_out_[0].raw_map)
    assert after < held_out, "its own score comes from a model that did not see it"
    again = Autoencoder(**SMALL["restore"]).restore(more.state())
    assert np.array_equal(again.raw_map(odd[1]), more.raw_map(odd[1]))


def test_the_seed_says_that_it_cannot_learn_later(seed: Autoencoder) -> None:
    with pytest.raises(TrainingError, match="train it again"):
        seed.extend(parts(2))


@pytest.mark.parametrize("colour", [False, True])
def test_the_exported_network_gives_the_models_score_and_map(colour: bool) -> None:
    images = np.stack(parts(12, colour=colour)).repeat(2, axis=1)  # 128 × 64 pixels: resized
    recipe = parse_recipe(
        {
            "align": {"method": "none"},
            "checks": dict.fromkeys(
                ("brightness", "contrast", "saturation", "focus", "likeness"), "off"
            ),
            "mask": {"only": [{"shape": "circle", "radius": 0.4}]},
        }
    )
    model = fit(
        images, detector="autoencoder", settings={**SMALL["restore"], "epochs": 2}, recipe=recipe
    )
    image = images[0].copy()
    image[60:80, 20:40] = 255
    inspection = model.inspect(image)
    score, score_map = Network(to_onnx(model))(image[None].astype(np.float32))
    assert score[0] == pytest.approx(inspection.score, rel=1e-3)
    assert inspection.score_map is not None
    np.testing.assert_allclose(score_map, inspection.score_map, rtol=1e-3, atol=1e-2)


def test_the_seed_says_that_it_cannot_be_exported() -> None:
    model = fit(np.stack(parts(12)), detector="autoencoder", settings={**SMALL["seed"]})
    with pytest.raises(ModelError, match="cannot be exported"):
        to_onnx(model)


def test_the_variational_variant_trains_and_tells_its_divergence() -> None:
    detector = Autoencoder(**SMALL["seed"], variational=True).fit(parts())
    assert detector.trainings_[0]["train/divergence"] > 0
    image = parts(1)[0]
    assert np.array_equal(detector.raw_map(image), detector.raw_map(image))


def test_the_wrapped_score_brings_its_limit() -> None:
    assert Autoencoder(preset="seed", scoring="wrapped").own_limit == 13.0
    assert Autoencoder(preset="seed").own_limit is None
    recipe = Recipe.model_validate({"align": {"method": "none"}})
    settings = {**SMALL["seed"], "epochs": 1, "scoring": "wrapped"}
    model = fit(np.stack(parts(12)), detector="autoencoder", recipe=recipe, settings=settings)
    assert model.limits.ok == model.limits.ng == 13.0
    assert model.calibration["guarantee"] == "the detector's own"


def test_the_seeds_heatmap_is_drawn_in_grey_levels() -> None:
    assert Autoencoder(preset="seed").heat_range == (0.0, 255.0)
    assert Autoencoder().heat_range is None


def test_rotations_show_four_times_as_much() -> None:
    plain = Autoencoder(**SMALL["seed"]).fit(parts())
    turned = Autoencoder(**SMALL["seed"], augment="rotations").fit(parts())
    assert turned.turns_ and not plain.turns_
    assert _steps(turned) == 4 * _steps(plain)


def _steps(detector: Autoencoder) -> int:
    rows = json.loads(detector.artifacts_["training/network_0/training/curves.json"])
    return round(rows[-1]["step"])


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    settings = {**SMALL["restore"], "epochs": 2}
    whole = Autoencoder(**settings).fit(parts())

    def stop(stage: str, done: int, total: int) -> None:
        if stage.startswith("network_1-training 2/2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Autoencoder(**settings).fit(parts(), workdir=tmp_path, progress=stop)
    trained: list[str] = []
    resumed = Autoencoder(**settings).fit(
        parts(), workdir=tmp_path, progress=lambda stage, done, total: trained.append(stage)
    )
    assert not any(stage.startswith("network_0-training") for stage in trained)
    assert not any(stage.startswith("network_1-training 1/2") for stage in trained)
    image = parts(1)[0]
    assert np.array_equal(whole.raw_map(image), resumed.raw_map(image))


def test_other_images_start_anew(tmp_path: Path) -> None:
    settings = {**SMALL["restore"], "epochs": 1}
    Autoencoder(**settings).fit(parts(), workdir=tmp_path)
    trained: list[str] = []
    Autoencoder(**settings).fit(
        parts(seed=5), workdir=tmp_path, progress=lambda stage, *_: trained.append(stage)
    )
    assert any(stage.startswith("network_0-training") for stage in trained)


def test_pretraining_comes_first(tmp_path: Path) -> None:
    import cv2

    for index, image in enumerate(parts(6, seed=3)):
        cv2.imwrite(str(tmp_path / f"{index}.png"), image)
    detector = Autoencoder(**SMALL["seed"], pretrain=str(tmp_path), pretrain_epochs=1)
    detector.fit(parts())
    assert "training/network_0/pretraining/curves.csv" in detector.artifacts_


def test_a_model_folder_judges_without_torch(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"align": {"method": "none"}})
    settings = {**SMALL["restore"], "epochs": 1}
    model = fit(np.stack(parts(12)), detector="autoencoder", recipe=recipe, settings=settings)
    model.save(tmp_path / "model")
    image = parts(1)[0]
    np.save(tmp_path / "image.npy", image)
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['lightning_fabric'] = None\n"
        "import numpy as np, goodpart\n"
        f"model = goodpart.load({str(tmp_path / 'model')!r})\n"
        f"print(model.inspect(np.load({str(tmp_path / 'image.npy')!r})).score)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == load(tmp_path / "model").inspect(image).score


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "nice"}, "no preset"),
        ({"size": 100}, "multiple of 32"),
        ({"variational": True}, "only the preset seed"),
        ({"scoring": "variance"}, "belongs to the preset seed"),
        ({"widths": [10]}, "multiples of 8"),
        ({"skips": [7]}, "skips"),
        ({"batch": 0}, "batch"),
        ({"weights": "somewhere"}, "preset seed"),
        ({"epochs": "many"}, "epochs"),
    ],
)
def test_wrong_settings_are_one_clear_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        create_detector("autoencoder", settings)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    detector = Autoencoder(**SMALL["seed"], weights=str(tmp_path))
    with pytest.raises(ModelError, match=r"encoder_epoch_30\.pth"):
        detector.fit(parts())


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    for name in ("encoder", "decoder"):
        (tmp_path / f"{name}_epoch_30.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError, match="not weights"):
        Autoencoder(**SMALL["seed"], weights=str(tmp_path)).fit(parts())
    assert not (tmp_path / "ran").exists()


def test_scoring_needs_a_fitted_detector() -> None:
    with pytest.raises(NotFittedError):
        Autoencoder().raw_map(parts(1)[0])


def test_a_damaged_state_is_a_model_error(restore: Autoencoder) -> None:
    state = restore.state()
    del state.arrays["cells_1/mean"]
    with pytest.raises(ModelError, match="incomplete"):
        Autoencoder(**SMALL["restore"]).restore(state)
