"""Which parts the gallery shows, and what it draws of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from goodpart.decision import Limits, Verdict
from goodpart.decision.pictures import HeatScale
from goodpart.evaluation.evaluate import Evaluation, Outcome, evaluate, require_test_items
from goodpart.evaluation.gallery import choose, draw
from goodpart.parts.dataset import Item, load_dataset


def outcome(label, score, verdict):
    item = Item(Path(f"{label}_{score}.png"), label, "test", "s")
    return Outcome(item, f"{label}_{score}", 0, verdict, score, "x" if score is None else None)


def names(outcomes):
    return [found.part for found in outcomes]


def test_the_worst_mistakes_come_first_and_failures_are_not_shown():
    outcomes = [outcome("good", float(s), Verdict.NG) for s in range(20, 30)]
    outcomes += [outcome("good", float(s), Verdict.OK) for s in range(9)]
    outcomes += [outcome("dent", float(s), Verdict.OK) for s in range(3, 6)]
    outcomes += [outcome("dent", 15.0, Verdict.CHECK), outcome("dent", None, Verdict.NOT_JUDGED)]
    chosen = choose(Evaluation("m", "d", Limits(10, 18), outcomes))
    assert names(chosen["overkill"]) == [f"good_{s}.0" for s in (29, 28, 27, 26, 25, 24)]
    assert names(chosen["escape"]) == ["dent_3.0", "dent_4.0", "dent_5.0"]
    assert names(chosen["check"]) == ["dent_15.0"]
    # The middle of the 19 good scores; the middle dents are shown as mistakes already.
    assert names(chosen["typical"]) == ["good_8.0", "good_20.0"]


class Mirror:
    """A detector that also draws what it expects."""

    def __init__(self, detector):
        self._detector = detector

    def __getattr__(self, name):
        return getattr(self._detector, name)

    def reconstruct(self, image):
        return np.full(image.shape, 128, np.uint8)


@pytest.fixture
def chosen(model, data):
    return choose(evaluate(model, require_test_items(load_dataset(data))))


def test_each_part_is_drawn_with_heat_regions_and_ground_truth(model, chosen):
    cards = draw(model, chosen)["typical"]
    good, spot = cards[0].pictures, cards[-1].pictures
    assert list(good) == ["part", "heatmap", "overlay"]
    assert list(spot) == ["part", "heatmap", "overlay", "ground truth"]
    assert all(p.dtype == np.uint8 and p.ndim == 3 for p in spot.values())
    drawn = spot["ground truth"].astype(int)
    rows, columns = np.nonzero(drawn[..., 0] - drawn[..., 2] > 80)  # yellow on grey
    assert abs(rows.min() - 26) <= 1 and abs(columns.min() - 36) <= 1
    assert abs(rows.max() - 33) <= 1 and abs(columns.max() - 43) <= 1
    hot = spot["heatmap"].min(axis=2) < 100
    assert hot[26:34, 36:44].mean() > 0.9 and hot[:, :20].mean() < 0.01


def test_a_reconstruction_is_shown_where_the_detector_has_one(model, chosen, monkeypatch):
    monkeypatch.setattr(model, "detector", Mirror(model.detector))
    card = draw(model, chosen)["typical"][0]
    assert list(card.pictures)[:2] == ["part", "reconstruction"]
    assert (card.pictures["reconstruction"] == 128).all()


def test_a_detector_may_fix_the_range_of_its_colours(model, monkeypatch):
    assert model.heat_scale.limits == model.limits
    monkeypatch.setattr(type(model.detector), "heat_range", (0.0, 255.0))
    assert model.heat_scale == HeatScale(0.0, 255.0)
