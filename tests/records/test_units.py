"""Ages, times and sizes as people write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodpart.records import RecordsError
from goodpart.records.units import format_size, parse_age, parse_moment, parse_size


@pytest.mark.parametrize(
    ("text", "days"), [("90d", 90), ("12h", 0.5), ("2w", 14), ("1440m", 1), (" 1d ", 1)]
)
def test_ages(text, days):
    assert parse_age(text) == timedelta(days=days)


@pytest.mark.parametrize(
    ("text", "count"),
    [("50GB", 50 * 10**9), ("1.5T", 15 * 10**11), ("2GiB", 2**31), ("10", 10), ("7kb", 7000)],
)
def test_sizes(text, count):
    assert parse_size(text) == count


def test_a_day_is_one_of_this_machines_time_zone():
    assert parse_moment("2026-03-01") == datetime(2026, 3, 1).astimezone()
    assert parse_moment("2026-03-01T00:00+09:00").utctimetuple()[:4] == (2026, 2, 28, 15)


def test_an_age_is_a_time_ago():
    expected = datetime.now(timezone.utc) - timedelta(days=7)
    assert abs(parse_moment("7d") - expected) < timedelta(seconds=5)


@pytest.mark.parametrize("parse", [parse_age, parse_moment, parse_size])
@given(text=st.text())
def test_any_text_is_read_or_refused_with_our_own_error(parse, text):
    with suppress(RecordsError):
        assert parse(text) is not None


def test_sizes_for_people():
    assert [format_size(n) for n in (999, 1500, 5 * 10**10, 2 * 10**12)] == [
        "999 B",
        "1.5 kB",
        "50.0 GB",
        "2.0 TB",
    ]
