from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from goodpart.errors import RecipeError, TrainingError
from goodpart.generators.config import GateSettings, load_settings
from goodpart.generators.gate import ANOMALOUS, COPY, FAR, KEPT, Gate

Make = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="module")
def real(make: Make) -> list[NDArray[np.uint8]]:
    return list(make(24, 48))


def test_good_new_parts_pass_and_defective_and_strange_ones_do_not(
    real: list[NDArray[np.uint8]], make: Make
) -> None:
    sources = [str(i) for i in range(len(real))]
    gate = Gate(GateSettings()).fit(real, sources)
    fresh = list(make(40, 48, seed=9))
    assert sum(j.kept for j in gate.judge(fresh)) >= 38
    scratched = [cv2.line(i.copy(), (12, 12), (30, 30), 255, 3) for i in fresh]
    assert all(j.verdict in (ANOMALOUS, FAR) for j in gate.judge(scratched))
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 48)).astype(np.uint8)
    blank = [np.full((48, 48), level, np.uint8) for level in (0, 128, 255)]
    rows, columns = np.mgrid[:48, :48]
    other = np.where((np.abs(rows - 24) < 12) & (np.abs(columns - 24) < 18), 160, 60)
    strange = [*noise, *blank, other.astype(np.uint8)]
    assert all(not j.kept for j in gate.judge(strange))


def test_a_copy_is_rejected_and_names_what_it_copies(real: list[NDArray[np.uint8]]) -> None:
    gate = Gate(GateSettings(tolerance=5)).fit(real, [str(i) for i in range(len(real))])
    judged = gate.judge([real[5], real[7]])
    assert [j.verdict for j in judged] == [COPY, COPY]
    assert [j.nearest for j in judged] == [5, 7]


def test_a_blurred_or_brighter_copy_is_a_copy_too(real: list[NDArray[np.uint8]]) -> None:
    gate = Gate(GateSettings(tolerance=1e9, farthest=1e9))
    gate.fit(real, [str(i) for i in range(len(real))])
    copies = [cv2.GaussianBlur(real[3], (0, 0), 0.4), cv2.convertScaleAbs(real[4], beta=6)]
    assert [j.verdict for j in gate.judge(copies)] == [COPY, COPY]


def test_what_does_not_count_is_not_judged(real: list[NDArray[np.uint8]]) -> None:
    mask = np.ones((48, 48), np.bool_)
    mask[:, 24:] = False
    loose = GateSettings(farthest=1e9, copy_share=0)
    gate = Gate(loose).fit(real, [str(i) for i in range(len(real))], mask=mask)
    outside, inside = real[0].copy(), real[0].copy()
    outside[20:26, 34:44] = inside[20:26, 4:14] = 255
    assert [j.verdict for j in gate.judge([outside, inside])] == [KEPT, ANOMALOUS]


def test_what_is_far_from_every_real_image_is_rejected(real: list[NDArray[np.uint8]]) -> None:
    gate = Gate(GateSettings(tolerance=1e9)).fit(real, [str(i) for i in range(len(real))])
    assert gate.judge([255 - real[0]])[0].verdict == FAR


def test_copies_of_one_source_do_not_set_the_scale(real: list[NDArray[np.uint8]]) -> None:
    doubled = [*real, *real]
    sources = [str(i % len(real)) for i in range(len(doubled))]
    loose = GateSettings(tolerance=1e9, farthest=1e9)
    once = Gate(loose).fit(real, sources[: len(real)])
    twice = Gate(loose).fit(doubled, sources)
    assert twice.scale_ == pytest.approx(once.scale_, rel=0.01)
    assert twice.judge([real[0]])[0].verdict == COPY
    with pytest.raises(TrainingError):
        Gate(loose).fit(real, ["one"] * len(real))


def test_another_detector_can_be_asked(real: list[NDArray[np.uint8]], make: Make) -> None:
    settings = GateSettings(detector="variation", detector_settings={"smoothing": 1.0}, tolerance=2)
    gate = Gate(settings).fit(real, [str(i) for i in range(len(real))])
    assert gate.judge(list(make(4, 48, seed=3)))[0].verdict in (KEPT, FAR)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["gate.tolerance=-1"], "gate.tolerance"),
        (["gate.kind=3"], "gate.kind"),
        (["epochs"], "key=value"),
        (["generator.x=1", "generator=2"], "generator"),
    ],
)
def test_wrong_settings_are_one_line(given: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        load_settings(None, given)
    assert "\n" not in str(caught.value)


def test_a_key_without_section_belongs_to_the_generator(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('generator = "dcgan"\n[settings]\nepochs = 3\n[gate]\ntolerance = 2\n')
    found = load_settings(file, ["batch=4", "gate.farthest=3"])
    assert found.generator == "dcgan" and found.settings == {"epochs": 3, "batch": 4}
    assert (found.gate.tolerance, found.gate.farthest) == (2, 3)
    file.write_text("generator = ")
    with pytest.raises(RecipeError, match="not a TOML file"):
        load_settings(file)
