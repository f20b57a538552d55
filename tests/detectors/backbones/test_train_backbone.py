"""The script that trains the backbone: same drawings for the same seed, targets where they belong,
a run that goes on where it stopped, an export that is the network that was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from goodpart.detectors.backbones.load import from_onnx

torch = pytest.importorskip("torch", reason="training needs the extra train")
pytest.importorskip("onnx", reason="training needs the extra train")
SCRIPT = Path(__file__).resolve().parents[3] / "tools" / "train_backbone"


@pytest.fixture(autouse=True)
def script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT))


@pytest.fixture
def teacher_file(tmp_path: Path, mobilenet_weights: dict[str, np.ndarray]) -> Path:
    path = tmp_path / "teacher.safetensors"
    save_file(mobilenet_weights, path)
    return path


def test_a_seed_always_draws_the_same_image() -> None:
    from draw import draw

    first, again = (draw(np.random.default_rng([5, 1]), 96) for _ in range(2))
    other = draw(np.random.default_rng([5, 2]), 96)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (96, 96, 3) and first.dtype == np.uint8
    assert (first != other).any()


def test_whitened_samples_have_unit_variance_and_no_correlation() -> None:
    import targets

    rng = np.random.default_rng(0)
    samples = rng.normal(size=(5000, 4)) @ rng.normal(size=(4, 4)) + 3
    mean, matrix = targets.whitening(samples, floor=0)
    white = (samples - mean) @ matrix.T
    np.testing.assert_allclose(np.cov(white.T), np.eye(4), atol=1e-3)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-3)


def test_the_teachers_features_lie_on_the_pixels_they_describe(
    tmp_path: Path, mobilenet_weights: dict[str, np.ndarray]
) -> None:
    import pool

    for value in mobilenet_weights.values():
        if value.ndim == 4 and value.shape[2] == 3:  # symmetric kernels shift nothing themselves
            value[:] = value.mean((2, 3), keepdims=True)
    save_file(mobilenet_weights, tmp_path / "teacher.safetensors")
    teacher = pool.Teacher(tmp_path / "teacher.safetensors")
    plain = np.full((pool.WINDOW, pool.WINDOW, 3), 100, np.uint8)
    spot = plain.copy()
    row, column = 63, 95  # of the inner square; where four cells of stride 16 meet
    top, left = row + pool.MARGIN, column + pool.MARGIN
    spot[top : top + 2, left : left + 2] = 200
    a, b = teacher(plain[None]), teacher(spot[None])
    for name, stride in (("stride4", 4), ("stride8", 8), ("stride16", 16)):
        energy = np.square(b[name].astype(np.float32) - a[name].astype(np.float32)).sum((0, 1))
        cells = (np.arange(len(energy)) + 0.5) * stride
        found = [(energy.sum(axis) * cells).sum() / energy.sum() for axis in (1, 0)]
        assert found == pytest.approx([row + 1, column + 1], abs=1.2), name


def test_the_exported_network_is_the_trained_one() -> None:
    from network import Shape, Student, to_onnx

    torch.manual_seed(0)
    student = Student(Shape()).eval()
    weights = {k: v.numpy() for k, v in student.state_dict().items()}
    turn = np.diag(np.linspace(1, 2, 24)), np.linspace(-1, 1, 24)
    keep = np.eye(128), np.zeros(128)
    backbone = from_onnx(to_onnx(weights, Shape(), {"stride4": turn, "stride8": keep}, {}), "x")
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    with torch.no_grad():
        at4, at8 = student(torch.from_numpy(images).permute(0, 3, 1, 2).float())
    at4 = at4.numpy() * np.linspace(1, 2, 24)[:, None, None] + turn[1][:, None, None]
    found = backbone.session(threads=1)(images)
    for expected, value in ((at4, found["stride4"]), (at8.numpy(), found["stride8"])):
        np.testing.assert_allclose(value, expected, atol=3e-3 * np.abs(expected).max())


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_and_can_be_exported(
    tmp_path: Path, teacher_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import export
    import pool
    import train
    from network import Shape

    monkeypatch.setattr(train, "HELD_OUT", 32)
    pool.grow(tmp_path / "pool", teacher_file, None, capacity=80, seed=1)
    pool.grow(tmp_path / "pool", teacher_file, None, capacity=128, seed=1)
    assert pool.count(tmp_path / "pool") == 128
    for hours in (2 / 3600, 4 / 3600):
        settings = train.Settings(hours=hours, save_minutes=0.01)
        train.train(tmp_path / "run", tmp_path / "pool", Shape(), settings)
    history = json.loads((tmp_path / "run" / "run.json").read_text())["progress"]["history"]
    steps = [entry["step"] for entry in history]
    assert steps == sorted(set(steps)) and len(steps) >= 2
    assert len(list((tmp_path / "run").glob("state-*.safetensors"))) == 1
    card = export.export(tmp_path / "run", tmp_path / "out", "test")
    assert (
        card["sha256"] == from_onnx((tmp_path / "out" / "goodpart.onnx").read_bytes(), "x").sha256
    )
