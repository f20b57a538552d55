"""Faults of other libraries that goodpart must not have: one score whatever the way to it."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from goodpart import Model, Verdict, fit, load
from goodpart.calibration import write_limits
from goodpart.detectors.engine import Network
from goodpart.errors import ModelError
from goodpart.exporting import export_onnx, to_onnx
from goodpart.model_folder import read_manifest
from goodpart.parts.render import render_part
from goodpart.recipe import LimitsSection, parse_recipe
from goodpart.runtime.inspector import Inspector

RECIPE = {"align": {"method": "none"}, "checks": {"likeness": "off", "focus": "off"}}
SETTINGS: dict[str, dict[str, Any]] = {
    "ensemble": {"resolution": 128, "size": 200},
    "gaussian": {"resolution": 128},
    "memory": {"resolution": 128, "size": 300},
    "variation": {},
}
ENGINES = ["onnxruntime"] + (["openvino"] if importlib.util.find_spec("openvino") else [])


def parts(first: int, count: int) -> list[Any]:
    """Rendered caps of 160 x 160 pixels; after the first hundred every third has a spot."""
    found = []
    for seed in range(first, first + count):
        image = render_part("cap", np.random.default_rng(seed), size=160, angle=0.0).image
        if seed >= 100 and seed % 3 == 0:
            image[60:84, 66:80], image[60:84, 80:94] = 0, 255
        found.append(image)
    return found


@pytest.fixture(scope="module")
def caps() -> Any:
    return np.stack(parts(0, 20))


@pytest.fixture(scope="module")
def tested() -> list[Any]:
    """Good and defective caps that no model has seen."""
    return parts(100, 6)


@pytest.fixture(scope="module")
def models(caps: Any, tmp_path_factory: Any) -> dict[str, Path]:
    """A saved model of every detector that needs no training, by name."""
    folder = tmp_path_factory.mktemp("models")
    recipe = parse_recipe({**RECIPE, "limits": {"overkill": 0.1}})
    return {
        name: fit(caps, detector=name, settings=settings, recipe=recipe).save(folder / name)
        for name, settings in SETTINGS.items()
    }


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def ways(folder: Path, images: list[Any], tmp_path: Path) -> dict[str, list[tuple[float, Verdict]]]:
    """Score and verdict of every image, by every way to get them."""
    model = load(folder)
    found: dict[str, list[tuple[float, Verdict]]] = {}

    def note(way: str, score: float | None, verdict: Verdict | None = None) -> None:
        assert score is not None
        found.setdefault(way, []).append((score, verdict or model.limits.verdict(score)))

    for index, image in enumerate(images):
        path = tmp_path / f"{index}.png"
        path.write_bytes(png(image))
        for way, source in (("file", path), ("bytes", path.read_bytes()), ("array", image)):
            inspection = model.inspect(source)
            note(way, inspection.score, inspection.verdict)
    for inspections in Inspector(model, batch=4).inspect_many([(image, None) for image in images]):
        note("batch", inspections[0].score, inspections[0].verdict)
    exported = to_onnx(model)
    for engine in ENGINES:
        other = load(folder, engine=engine)  # type: ignore[arg-type]
        network = Network(exported, engine=engine)  # type: ignore[arg-type]
        for image in images:
            note(f"model on {engine}", other.inspect(image).score)
            note(f"export on {engine}", float(network(image[None].astype(np.float32))[0][0]))
    return found


@pytest.mark.parametrize("detector", SETTINGS)
def test_every_way_to_a_score_gives_the_same_one_and_the_same_verdict(
    models: dict[str, Path], tested: list[Any], tmp_path: Path, detector: str
) -> None:
    found = ways(models[detector], tested, tmp_path)
    assert len(found) == 4 + 2 * len(ENGINES)
    expected = found.pop("file")
    assert len({verdict for _, verdict in expected}) > 1, "good and defective ones are tried"
    for way, results in found.items():
        for (score, verdict), (reference, right) in zip(results, expected, strict=True):
            # A score may be next to nothing: it counts in deviations, and limits lie above one.
            assert score == pytest.approx(reference, rel=1e-3, abs=1e-4), way
            assert verdict is right, way


def test_the_exported_map_is_the_models_map_in_color_with_a_mask_and_in_varying_light() -> None:
    rng = np.random.default_rng(0)
    light = np.linspace(0.4, 1.6, 8)[:, None, None, None]
    grain = rng.normal(120, 20, (8, 80, 112, 3)) * light
    images = grain.clip(0, 255).astype(np.uint8)
    recipe = parse_recipe({**RECIPE, "mask": {"only": [{"shape": "circle", "radius": 0.4}]}})
    for detector in SETTINGS:
        model = fit(images, detector=detector, settings=SETTINGS[detector], recipe=recipe)
        image = rng.integers(0, 255, (80, 112, 3), dtype=np.uint8)
        inspection = model.inspect(image)
        score, score_map = Network(to_onnx(model))(image[None].astype(np.float32))
        assert score[0] == pytest.approx(inspection.score, rel=1e-3)
        assert inspection.score_map is not None
        np.testing.assert_allclose(score_map, inspection.score_map, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("detector", SETTINGS)
def test_an_exported_score_is_not_a_number_where_a_pixel_is_none(
    models: dict[str, Path], tested: list[Any], detector: str
) -> None:
    network = Network(to_onnx(load(models[detector])))
    image = tested[0].astype(np.float32)
    assert np.isfinite(network(image[None])[0]).all()
    image[image.shape[0] // 2, image.shape[1] // 2] = np.nan
    assert np.isnan(network(image[None])[0]).all()


def test_the_example_beside_an_export_runs_without_goodpart(
    models: dict[str, Path], tested: list[Any], tmp_path: Path
) -> None:
    model = load(models["gaussian"])
    network, script = export_onnx(model, tmp_path / "caps.onnx")
    (tmp_path / "part.png").write_bytes(png(tested[2]))
    block = "import sys; sys.modules['goodpart'] = None; sys.argv = sys.argv[1:]\n"
    runner = f"{block}import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"

    def run(*arguments: str) -> str:
        words = [sys.executable, "-c", runner, str(script), str(tmp_path / "part.png")]
        return subprocess.run(
            [*words, *arguments], capture_output=True, text=True, check=True
        ).stdout

    inspection = model.inspect(tested[2])
    _, verdict, score, *_ = run().split()
    assert verdict == inspection.verdict.value
    assert float(score) == pytest.approx(inspection.score, rel=1e-3)
    assert " OK " in run("--ok=1e6", "--ng=1e6"), "limits can be set after the export"
    assert " NG " in run("--ok=-1e6", "--ng=-1e6")
    import onnxruntime

    facts = onnxruntime.InferenceSession(str(network)).get_modelmeta().custom_metadata_map
    assert json.loads(facts["goodpart.limits"])["ng"] == model.limits.ng
    assert "resized" in facts["goodpart.input"]
    with pytest.raises(ModelError, match="--force"):
        export_onnx(model, network)


def test_scores_are_not_clamped(models: dict[str, Path], tested: list[Any]) -> None:
    model = load(models["variation"])
    scores = []
    for strength in (60, 120, 180):
        image = tested[0].copy()
        image[:12, :12] = strength
        scores.append(model.inspect(image).score or 0.0)
    assert scores[2] > 2 * model.limits.ng
    assert scores[1] > 1.5 * scores[0] and scores[2] > 1.2 * scores[1]


def test_limits_can_be_set_after_training_and_scores_stay(
    models: dict[str, Path], tested: list[Any], tmp_path: Path
) -> None:
    folder = load(models["variation"]).save(tmp_path / "m")
    before = load(folder).inspect(tested[0])
    assert before.score is not None
    story = read_manifest(folder)["calibration"]
    strict = LimitsSection(ok=before.score / 2, ng=before.score / 2)
    write_limits(folder, story, strict, why="limits by test")
    after = load(folder).inspect(tested[0])
    assert after.score == before.score and after.verdict is Verdict.NG


def test_results_are_the_same_from_run_to_run(caps: Any, tested: list[Any]) -> None:
    for detector, settings in SETTINGS.items():
        recipe = parse_recipe(RECIPE)
        runs: list[Model] = [
            fit(caps[:12], detector=detector, settings=settings, recipe=recipe) for _ in range(2)
        ]
        assert runs[0].limits == runs[1].limits
        assert runs[0].inspect(tested[0]).score == runs[1].inspect(tested[0]).score


def test_sixteen_bit_images_are_not_read_as_eight_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(14):
        deep = rng.normal(30_000, 40, (32, 32)).astype(np.uint16)
        Image.fromarray(deep).save(tmp_path / f"{index:02d}.png")
    recipe = parse_recipe({**RECIPE, "checks": {}})
    model = fit(tmp_path, detector="variation", settings={"floor": 0.05}, recipe=recipe)
    good = rng.normal(30_000, 40, (32, 32)).astype(np.uint16)
    defective = good.copy()
    defective[10:20, 10:20] += 200  # less than one grey level of eight bits
    image = model.inspect(good).image
    assert image is not None and image.dtype == np.float32
    assert model.inspect(good).verdict is Verdict.OK
    assert model.inspect(defective).verdict is Verdict.NG


def test_one_broken_file_does_not_end_a_run(
    models: dict[str, Path], tested: list[Any], tmp_path: Path
) -> None:
    from goodpart.cli.app import main

    (tmp_path / "a.png").write_bytes(png(tested[0]))
    (tmp_path / "b.png").write_bytes(png(tested[0])[:300])
    (tmp_path / "c.png").write_bytes(png(tested[1]))
    answer = tmp_path / "answer.json"
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(models["variation"]), str(tmp_path), "--json", str(answer)])
    assert not ended.value.code
    verdicts = [entry["verdict"] for entry in json.loads(answer.read_text())]
    assert verdicts[1] == "NOT_JUDGED" and "NOT_JUDGED" not in (verdicts[0], verdicts[2])


def test_memory_is_bounded_while_fitting(tmp_path: Path) -> None:
    """Four times the images need hardly more memory: features lie in a file."""
    peaks = []
    for count in (12, 48):
        images = np.random.default_rng(0).integers(0, 255, (count, 64, 64), dtype=np.uint8)
        recipe = parse_recipe({**RECIPE, "checks": {}})
        tracemalloc.start()
        fit(images, detector="gaussian", settings={"resolution": 128}, recipe=recipe)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    features = 36 * 16 * 16 * 152 * 4  # what the further images would take in float32
    assert peaks[1] - peaks[0] < features / 2


def test_a_detector_that_cannot_be_exported_says_so(models: dict[str, Path]) -> None:
    from goodpart.detectors import Detector

    model = load(models["variation"])
    model.detector.export = lambda graph: Detector.export(model.detector, graph)  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="cannot be exported"):
        to_onnx(model)
