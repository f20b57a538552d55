"""Choosing a detector: on good images and drawn defects alone, with reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from goodpart import fit
from goodpart.detectors import auto
from goodpart.detectors.auto import Trial, choose_detector, explain
from goodpart.errors import TrainingError
from goodpart.parts.render import render_part
from goodpart.recipe import parse_recipe


@pytest.fixture(scope="module")
def caps() -> Any:
    rngs = [np.random.default_rng(seed) for seed in range(16)]
    return np.stack([render_part("cap", rng, size=96, angle=0.0).image for rng in rngs])


def test_the_detector_that_finds_more_is_chosen_and_all_are_listed(caps: Any) -> None:
    groups = [str(index) for index in range(len(caps))]
    chosen, trials = choose_detector(caps, groups=groups, candidates=("variation", "gaussian"))
    assert [trial.name for trial in trials] == ["variation", "gaussian"]
    best = max(trials, key=lambda trial: (trial.found or 0, trial.auroc or 0))
    picked = next(trial for trial in trials if trial.name == chosen)
    assert best.found is not None and picked.found is not None
    assert picked.found >= best.found - auto.TIE
    lines = explain(chosen, trials)
    assert len(lines) == 2 and sum("chosen" in line for line in lines) == 1


def test_among_equals_the_faster_is_taken() -> None:
    slow, fast = Trial("a", 0.9, 0.95, 20.0), Trial("b", 0.9, 0.95, 5.0)
    assert auto._best([slow, fast]).name == "b"
    assert auto._best([Trial("c", 0.95, 0.95, 20.0), fast]).name == "c"


def test_a_candidate_that_fails_is_told_and_does_not_end_the_choice(
    caps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = auto.create_detector

    def broken(name: str, settings: dict[str, Any]) -> Any:
        if name == "gaussian":
            raise TrainingError("out of luck")
        return real(name, settings)

    monkeypatch.setattr(auto, "create_detector", broken)
    groups = [str(index) for index in range(len(caps))]
    chosen, trials = choose_detector(caps, groups=groups, candidates=("variation", "gaussian"))
    assert chosen == "variation" and "out of luck" in trials[1].note
    with pytest.raises(TrainingError, match="out of luck"):
        choose_detector(caps, groups=groups, candidates=("gaussian",))


def test_no_candidate_is_begun_when_the_time_is_up(
    caps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "MOST_SECONDS", 1e-9)
    monkeypatch.setattr(auto, "_try", lambda name, *_: Trial(name, 0.5, 0.5, 1.0, 10.0))
    with pytest.raises(TrainingError, match="time"):
        choose_detector(caps, groups=[str(i) for i in range(len(caps))])


def test_a_trial_is_given_up_when_the_time_is_up(caps: Any) -> None:
    groups = [str(index) for index in range(len(caps))]
    halves = list(range(8)), list(range(8, 16))

    def trial(until: float) -> Trial:
        return auto._try("variation", caps, groups, *halves, list(caps[8:]), None, 0, until)

    assert trial(until=np.inf).found is not None
    late = trial(until=0.0)
    assert late.found is None and "time for choosing was up" in late.note


def test_train_with_auto_keeps_the_choice_in_the_model(
    caps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "CANDIDATES", ("variation",))
    recipe = parse_recipe({"align": {"method": "none"}, "checks": {"likeness": "off"}})
    model = fit(caps, detector="auto", recipe=recipe)
    assert model.recipe.detector.name == model.detector.name
    assert model.provenance["choice"]["why"]
