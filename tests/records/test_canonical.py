"""The one form in which values are stored and hashed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodpart.records.canonical import canonical, digest, number, storable

any_text = st.text(st.characters(codec=None, exclude_categories=()))


@given(any_text)
def test_stored_text_is_utf8_without_nul(text):
    stored = storable(text)
    assert "\0" not in stored
    stored.encode("utf-8")
    assert storable(stored) == stored


@given(st.dictionaries(any_text, any_text))
def test_canonical_json_is_utf8_and_reads_back(value):
    text = canonical(value)
    text.encode("utf-8")
    assert json.loads(text) == value


def test_the_order_of_keys_does_not_matter():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_the_same_moment_in_another_time_zone_is_the_same():
    utc = datetime(2026, 3, 1, tzinfo=timezone.utc)
    seoul = utc.astimezone(timezone(timedelta(hours=9)))
    assert canonical(utc) == canonical(seoul) == '"2026-03-01T00:00:00.000000+00:00"'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        canonical({"value": value})


def test_numbers_are_finite_and_zero_has_no_sign():
    assert number(float("inf")) is None and number(None) is None
    assert str(number(-0.0)) == "0.0"
