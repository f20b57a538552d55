"""Figures against scikit-learn and against slow, plain definitions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.decision import Verdict
from goodpart.decision.metrics import (
    PixelMetrics,
    auroc,
    average_precision,
    pr_curve,
    quantiles,
    rates,
    roc_curve,
)

scores = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(good=scores, defective=scores)
def test_image_figures_agree_with_scikit_learn_ties_included(good, defective):
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth = [0] * len(good) + [1] * len(defective)
    assert auroc(good, defective) == pytest.approx(roc_auc_score(truth, good + defective))
    expected = average_precision_score(truth, good + defective)
    assert average_precision(good, defective) == pytest.approx(expected)


def test_one_class_alone_gives_no_figure():
    assert auroc([1.0], []) is None
    assert auroc([], [1.0]) is None
    assert average_precision([], [1.0]) is None
    assert roc_curve([1.0], []) is None
    assert pr_curve([1.0], []) is None


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        auroc([1.0, float("nan")], [2.0])


def test_the_roc_curve_runs_from_corner_to_corner():
    curve = roc_curve([1, 2, 3], [2, 4])
    assert curve is not None
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.thresholds) < 0).all()


def plain_aupro(maps, masks, limit=0.3):
    """The definition, threshold by threshold."""
    values = np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]
    xs, ys = [0.0], [0.0]
    for threshold in values:
        overlaps, false, clean = [], 0, 0
        for score_map, mask in zip(maps, masks, strict=True):
            above = score_map >= threshold
            false += int((above & (mask == 0)).sum())
            clean += int((mask == 0).sum())
            count, labels = cv2.connectedComponents((mask != 0).astype(np.uint8), connectivity=8)
            overlaps += [above[labels == i].mean() for i in range(1, count)]
        xs.append(false / clean)
        ys.append(float(np.mean(overlaps)))
    grid = np.linspace(0, limit, 20001)
    return float(np.trapezoid(np.interp(grid, xs, ys), grid) / limit)


@pytest.fixture
def maps_and_masks():
    rng = np.random.default_rng(3)
    maps, masks = [], []
    for number in range(4):
        mask = np.zeros((40, 50), np.uint8)
        if number:
            mask[5:9, 5:9] = 255
            mask[9:12, 9:12] = 255  # touches by a corner: one region when 8-connected
            mask[30:32, 20 : 22 + number] = 1
        score_map = rng.normal(0, 1, mask.shape) + 1.2 * (mask != 0)
        maps.append(score_map.astype(np.float32))
        masks.append(mask)
    return maps, masks


def test_pixel_figures_agree_with_their_definitions(maps_and_masks):
    from sklearn.metrics import roc_auc_score

    maps, masks = maps_and_masks
    metrics = PixelMetrics()
    for score_map, mask in zip(maps, masks, strict=True):
        metrics.add(score_map, mask)
    truth = np.concatenate([(m != 0).ravel() for m in masks])
    expected = roc_auc_score(truth, np.concatenate([m.ravel() for m in maps]))
    assert metrics.regions == 6
    assert metrics.auroc() == pytest.approx(expected, abs=1e-3)
    assert metrics.aupro() == pytest.approx(plain_aupro(maps, masks), abs=2e-3)


def test_a_perfect_map_has_an_aupro_of_one_and_a_blind_one_of_its_share():
    mask = np.zeros((60, 60), np.uint8)
    mask[10:20, 10:20] = 1
    perfect, blind = PixelMetrics(), PixelMetrics()
    perfect.add(mask.astype(np.float32), mask)
    blind.add(np.zeros((60, 60), np.float32), mask)
    assert perfect.aupro() == pytest.approx(1.0)
    assert blind.aupro() == pytest.approx(0.15)  # the diagonal up to 30 %
    assert blind.auroc() == pytest.approx(0.5)


def test_ignored_pixels_rank_below_everything():
    mask = np.zeros((4, 4), np.uint8)
    mask[0, 0] = 1
    score_map = np.full((4, 4), -3.0, np.float32)
    score_map[0, 0] = -np.inf
    metrics = PixelMetrics()
    metrics.add(score_map, mask)
    assert metrics.auroc() == 0.0


def test_pixel_figures_need_defective_pixels():
    metrics = PixelMetrics()
    metrics.add(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.uint8))
    assert metrics.auroc() is None
    assert metrics.aupro() is None


def test_a_map_of_another_size_or_with_nan_is_refused():
    metrics = PixelMetrics()
    with pytest.raises(ValueError, match="mask"):
        metrics.add(np.zeros((8, 8), np.float32), np.zeros((4, 8), np.uint8))
    with pytest.raises(ValueError, match="NaN"):
        metrics.add(np.full((4, 4), np.nan, np.float32), np.zeros((4, 4), np.uint8))


def test_rates_count_each_verdict_among_the_judged_parts():
    verdicts = (
        [(True, Verdict.OK)] * 97
        + [(True, Verdict.NG)] * 2
        + [(True, Verdict.CHECK), (True, Verdict.NOT_JUDGED)]
        + [(False, Verdict.NG)] * 18
        + [(False, Verdict.OK)] * 2
    )
    found = rates(verdicts)
    assert (found["overkill"]["count"], found["overkill"]["n"]) == (2, 100)
    assert found["overkill"]["rate"] == 0.02
    # One-sided exact bound, as in tables of Clopper and Pearson.
    assert found["overkill"]["upper95"] == pytest.approx(0.0616, abs=2e-4)
    assert (found["escape"]["count"], found["escape"]["n"]) == (2, 20)
    assert found["check"]["good"]["count"] == 1
    assert found["not_judged"]["good"] == {**found["not_judged"]["good"], "count": 1, "n": 101}


def test_a_rate_of_nothing_is_null():
    found = rates([(True, Verdict.OK)])
    assert found["escape"]["rate"] is None and found["escape"]["upper95"] is None


def test_quantiles_of_nothing_are_null():
    assert quantiles([]) == {"p50": None, "p95": None}
    assert quantiles([1.0, 2.0, 3.0])["p50"] == 2.0
