"""A faster engine judges only where its limits were set on it and no training verdict differs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goodpart import fit, load
from goodpart.calibration import write_limits
from goodpart.decision import Limits
from goodpart.detectors import engine_check
from goodpart.detectors.engine_check import EngineCheck
from goodpart.errors import ModelError, TrainingError
from goodpart.learning import learn
from goodpart.model_folder import read_manifest
from goodpart.parts.render import render_part
from goodpart.recipe import LimitsSection, parse_recipe

FAST = "openvino-bf16"
RECIPE = {"align": {"method": "none"}, "checks": {"likeness": "off", "focus": "off"}}
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="openvino is not installed",
)


@pytest.fixture(scope="module")
def caps() -> Any:
    rngs = [np.random.default_rng(seed) for seed in range(14)]
    return np.stack([render_part("cap", rng, size=96, angle=0.0).image for rng in rngs])


def trained(caps: Any, engine: Any) -> Any:
    settings = {"resolution": 96}
    recipe = parse_recipe({**RECIPE, "limits": {"overkill": 0.2}})
    return fit(caps, detector="gaussian", settings=settings, recipe=recipe, engine=engine)


@pytest.fixture(scope="module")
def fast(caps: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose limits were set on the fast engine."""
    model = trained(caps, FAST)
    assert model.detector.engine == FAST, model.provenance["warnings"]
    saved: Path = model.save(tmp_path_factory.mktemp("models") / "fast")
    return saved


def test_a_verdict_that_differs_is_found_whatever_the_limit() -> None:
    check = EngineCheck(FAST, {"a.png": (1.0, 1.1), "b.png": (3.0, 2.9)})
    assert check.differing(Limits(2.0, 2.0)) == []
    assert check.differing(Limits(1.05, 1.05)) == ["a.png"]
    assert check.differing(Limits(1.0, 2.95)) == ["a.png", "b.png"]
    assert check.deviation(Limits(2.0, 2.0)) == pytest.approx(0.05)
    check.require(Limits(2.0, 2.0))
    with pytest.raises(ModelError, match=r"a\.png differently \(1 of 2"):
        check.require(Limits(1.05, 1.05))


def test_what_was_found_survives_the_manifest() -> None:
    check = EngineCheck(FAST, {"a.png": (1.0, 1.1)})
    assert EngineCheck.of({"engine": check.to_dict(Limits(2.0, 2.0))}) == check
    assert EngineCheck.of({}) is None


@needs_openvino
def test_a_model_trained_on_the_fast_engine_is_loaded_into_it(fast: Path, caps: Any) -> None:
    model = load(fast)
    assert model.detector.engine == FAST
    entry = model.provenance["engine"]
    assert entry["images"] == len(caps) and 0 < entry["deviation"] < 0.5
    exact = load(fast, engine="onnxruntime")
    scores = [(model.inspect(cap).score, exact.inspect(cap).score) for cap in caps]
    assert [list(pair) for pair in scores] == list(entry["scores"].values())
    assert any(a != b for a, b in scores), "bfloat16 is not fp32"
    assert [model.inspect(c).verdict for c in caps] == [exact.inspect(c).verdict for c in caps]


@needs_openvino
def test_limits_that_a_fast_engine_would_judge_differently_are_refused(fast: Path) -> None:
    manifest = read_manifest(fast)
    a, b = max(manifest["provenance"]["engine"]["scores"].values(), key=lambda p: abs(p[0] - p[1]))
    between = (a + b) / 2
    with pytest.raises(ModelError, match="differently"):
        write_limits(
            fast, manifest["calibration"], LimitsSection(ok=between, ng=between), why="by test"
        )
    assert read_manifest(fast) == manifest


@needs_openvino
def test_a_model_of_the_fast_engine_cannot_learn_later(fast: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="train it again"):
        learn(load(fast), [tmp_path / "a.png"])


def test_limits_set_in_fp32_do_not_allow_the_fast_engine(caps: Any, tmp_path: Path) -> None:
    folder = trained(caps, "onnxruntime").save(tmp_path / "exact")
    assert "engine" not in load(folder).provenance
    with pytest.raises(ModelError, match=f"train it with --engine {FAST}"):
        load(folder, engine=FAST)


@needs_openvino
def test_an_engine_that_changes_a_verdict_is_given_up(
    caps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engine_check.EngineCheck.differing
    monkeypatch.setattr(
        engine_check.EngineCheck, "differing", lambda self, limits: [*real(self, limits), "a.png"]
    )
    model = trained(caps, FAST)
    assert model.detector.engine == "onnxruntime" and "engine" not in model.provenance
    assert any(f"{FAST} is not taken" in warning for warning in model.provenance["warnings"])


def test_an_unknown_engine_is_one_line(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "goodpart", "train", str(tmp_path), "--out", "m"]
    done = subprocess.run([*words, "--engine", "magic"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "openvino-bf16" in done.stderr and "Traceback" not in done.stderr
