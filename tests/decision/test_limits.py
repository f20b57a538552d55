"""Limits keep the promise that they state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodpart.decision import Limits, Verdict
from goodpart.decision.limits import (
    calibrate,
    clopper_pearson,
    conformal_limit,
    escape_limit,
    images_needed,
    smallest_rate,
    standing_out,
    upper_bound,
    worst_rate,
)


def test_ninety_nine_images_are_needed_for_one_percent() -> None:
    assert images_needed(0.01) == 99
    assert images_needed(0.005) == 199
    assert images_needed(0.1) == 9
    assert smallest_rate(99) == pytest.approx(0.01)


def test_a_whole_rank_is_the_limit_itself() -> None:
    scores = np.arange(1, 200)  # n = 199: two of 200 above the second highest
    assert conformal_limit(scores, 0.01) == 198
    assert worst_rate(199, 0.01) == pytest.approx(0.01)
    assert conformal_limit(scores[:50], 0.01) == 50, "too few images: the largest score"
    assert conformal_limit([3.0], 0.4) == 3.0


def test_between_two_ranks_the_limit_lies_between_their_scores() -> None:
    # n = 178: 0.01 * 179 = 1.79 above on average, so 0.79 of the way from the highest down.
    assert conformal_limit(np.arange(1, 179), 0.01) == pytest.approx(178 - 0.79)
    assert worst_rate(178, 0.01) == pytest.approx(2 / 179)
    assert worst_rate(178, 0.01, "cross-fitted") == pytest.approx(4 / 179)


@given(
    scores=st.lists(st.floats(0, 1e6), min_size=1, max_size=60),
    alpha=st.floats(0.001, 0.49),
    step=st.floats(0, 0.2),
)
def test_a_higher_rate_never_raises_the_limit(
    scores: list[float], alpha: float, step: float
) -> None:
    limit = conformal_limit(scores, alpha)
    assert min(scores) <= limit <= max(scores)
    assert conformal_limit(scores, alpha + step) <= limit * (1 + 1e-9)
    above, rate = sum(score > limit for score in scores), worst_rate(len(scores), alpha)
    assert above <= rate * (len(scores) + 1), "no more of these scores lie above than promised"


# Share of good parts above a limit, for densities that fall, stay even and rise.
DENSITIES = {
    "falling": (lambda rng, n: rng.exponential(size=n), lambda limit: np.exp(-limit)),
    "even": (lambda rng, n: rng.uniform(size=n), lambda limit: 1 - limit),
    "rising": (lambda rng, n: np.sqrt(rng.uniform(size=n)), lambda limit: 1 - limit**2),
}


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("images", [99, 130, 178, 240])
def test_the_overkill_asked_for_is_met_on_average(density: str, images: int) -> None:
    draw, above = DENSITIES[density]
    rng = np.random.default_rng(0)
    rates = np.array([above(conformal_limit(draw(rng, images), 0.01)) for _ in range(40_000)])
    error = 3 * rates.std() / np.sqrt(rates.size)
    if density == "rising":
        assert rates.mean() < worst_rate(images, 0.01) + error
    else:
        assert rates.mean() < 0.01 + error
    assert rates.mean() > 0.0088 - error, "and not bought with a limit that lies too high"


def test_a_rate_that_cannot_be_promised_is_said_with_the_smallest_that_can() -> None:
    result = calibrate(list(np.linspace(0, 1, 50)), overkill=0.01)
    assert not result.promised
    assert result.smallest == pytest.approx(1 / 51)
    assert "cannot be promised with 50 good images (99 are needed)" in result.notes[0]


def test_a_cross_fitted_promise_states_twice_the_rate_as_its_worst_case() -> None:
    scores = list(np.random.default_rng(0).normal(size=150))
    # 1.51 of 151 above on average: in the worst case as many as above the second highest score.
    assert "2.65% in the worst case" in calibrate(scores, guarantee="cross-fitted").notes[0]
    assert "1.32% in the worst case" in calibrate(scores, guarantee="split").notes[0]
    assert "1.00% in the worst case" in calibrate(scores[:99], guarantee="split").notes[0]


def test_a_few_mislabelled_images_are_named_and_do_not_move_the_limit() -> None:
    rng = np.random.default_rng(1)
    good = rng.normal(2, 0.5, size=150)
    clean = calibrate(list(good))
    dirty = calibrate([*good, 30.0, 45.0, 12.0])
    assert dirty.outliers == (151, 150, 152)
    assert dirty.limits.ng <= clean.limits.ng * 1.01


@pytest.mark.parametrize("images", [8, 12, 20, 30, 100, 200])
def test_ordinary_long_tails_are_rarely_named_however_few_images_there_are(images: int) -> None:
    rng = np.random.default_rng(2)
    rounds = 40_000 // images
    named = sum(len(standing_out(rng.exponential(size=images))) for _ in range(rounds))
    assert named / (rounds * images) < 0.004


TAILS = {
    "normal": lambda rng, n: rng.normal(3, 0.6, n),
    "maximum of many": lambda rng, n: rng.gumbel(4, 0.8, n),
    "skewed": lambda rng, n: rng.lognormal(1, 0.4, n),
    "exponential": lambda rng, n: rng.exponential(1.0, n),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("share", [0.02, 0.05])
def test_defective_images_among_the_good_are_named_and_hardly_move_the_limit(
    tail: str, share: float
) -> None:
    rng = np.random.default_rng(7)
    named, wrong, moved, contaminated = [], [], [], []
    for _ in range(40):
        good = TAILS[tail](rng, 200)
        count = round(share * 200)
        # Defects well apart from the good parts: 9 to 15 times their spread above the median.
        spread = np.quantile(good, 0.84) - np.median(good)
        bad = np.median(good) + spread * rng.uniform(9, 15, count)
        result = calibrate([*good, *bad], overkill=0.01)
        found = np.array(result.outliers, dtype=int)
        named.append((found >= 200).sum() / count)
        wrong.append((found < 200).sum() / 200)
        moved.append((good > result.limits.ng).mean())
        contaminated.append((good > conformal_limit([*good, *bad], 0.01)).mean())
    assert np.mean(named) > 0.95
    assert np.mean(wrong) < 0.012
    assert 0.002 < np.mean(moved) < 0.02, "overkill stays near the 1 % asked for"
    assert np.mean(contaminated) < 0.002, "without naming them the limit would let anything pass"


def test_the_escape_rate_lowers_ok_and_opens_a_check_band() -> None:
    good = list(np.linspace(0, 1, 200))
    defects = list(np.linspace(0.5, 3, 200))
    result = calibrate(good, defects=defects, escape=0.02)
    assert result.limits.ok < result.limits.ng
    assert np.mean(np.array(defects) <= result.limits.ok) <= 0.02
    assert any("CHECK" in note for note in result.notes)


def test_the_escape_limit_lets_no_more_through_than_asked() -> None:
    defects = np.arange(1.0, 101.0)
    assert np.sum(defects <= escape_limit(defects, 0.05)) == 4


def test_escape_without_defects_is_refused() -> None:
    with pytest.raises(ValueError, match="defective images"):
        calibrate([1.0, 2.0], escape=0.01)


@pytest.mark.parametrize("scores", [[], [1.0, float("nan")], [float("inf")]])
def test_scores_that_are_not_numbers_give_no_limit(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        conformal_limit(scores, 0.01)


def test_clopper_pearson_gives_the_textbook_bounds() -> None:
    low, high = clopper_pearson(5, 50)
    assert (low, high) == (pytest.approx(0.03328, abs=1e-4), pytest.approx(0.21814, abs=1e-4))
    assert clopper_pearson(0, 20) == (0.0, pytest.approx(0.16843, abs=1e-4))
    assert upper_bound(0, 59) == pytest.approx(0.0495, abs=1e-3)  # the rule of three
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@given(n=st.integers(1, 300), data=st.data())
def test_bounds_enclose_the_rate(n: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, n))
    low, high = clopper_pearson(count, n)
    assert 0 <= low <= count / n <= high <= 1
    assert count / n <= upper_bound(count, n) <= high + 1e-9


def test_verdicts_follow_the_limits() -> None:
    limits = Limits(ok=1.0, ng=2.0)
    assert limits.verdict(1.0) is Verdict.OK
    assert limits.verdict(1.5) is Verdict.CHECK
    assert limits.verdict(2.0) is Verdict.CHECK
    assert limits.verdict(2.1) is Verdict.NG


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_never_ok(score: float) -> None:
    assert Limits(ok=1.0, ng=1.0).verdict(score) is Verdict.NOT_JUDGED


def test_limits_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="below ok"):
        Limits(ok=2.0, ng=1.0)
    with pytest.raises(ValueError, match="finite"):
        Limits(ok=float("nan"), ng=1.0)


def test_captures_of_a_part_that_stands_out_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(0)
    scores = [*rng.normal(3, 0.5, 120), 9.0, 5.0, 4.9]
    apart = calibrate(scores)
    assert apart.outliers == (120,), "the highest of these three stands out"
    parts = [*range(120), 120, 120, 121]
    found = calibrate(scores, parts=parts)
    assert found.outliers == (120, 121), "and the other capture of its part with it"
    assert found.limits.ng == conformal_limit([*scores[:120], 4.9], 0.01) and found.images == 121
    vouched = calibrate(scores, parts=parts, vouched={121})
    assert vouched.outliers == (120,)
    assert vouched.limits.ng == conformal_limit([*scores[:120], 5.0, 4.9], 0.01)
