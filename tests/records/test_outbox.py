"""The spool: nothing is lost, each message once, only this station's."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from goodpart.records import Message, Records, RecordsError


def spool(records, inspection, *names):
    for name in names:
        given = inspection()
        messages = [Message(output, given.id, {"part": name}) for output in ("hook", "mqtt")]
        records.record([given], arrival=name, outputs=messages)


def in_seconds(seconds):
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)


def test_messages_wait_in_order_until_they_are_sent(records, inspection):
    spool(records, inspection, "a", "b")
    assert records.outputs_waiting() == {"hook": 2, "mqtt": 2}
    due = records.pending_outputs(output="hook")
    assert [message.payload for message in due] == [{"part": "a"}, {"part": "b"}]
    records.mark_sent([message.id for message in due])
    assert records.outputs_waiting() == {"mqtt": 2}
    assert records.pending_outputs(output="hook") == []
    assert records.next_output_at("hook") is None


def test_a_vain_attempt_is_repeated_later(records, inspection):
    spool(records, inspection, "a")
    message = records.pending_outputs(output="hook")[0]
    records.mark_failed(message.id, "timed out", retry_in=60)
    assert records.pending_outputs(output="hook") == []
    assert in_seconds(55) < records.next_output_at("hook") < in_seconds(65)
    again = records.pending_outputs(output="hook", at=in_seconds(61))[0]
    assert (again.id, again.attempts) == (message.id, 1)


def test_a_message_given_up_waits_no_more_and_is_in_the_audit_trail(records, inspection):
    spool(records, inspection, "a")
    message = records.pending_outputs(output="hook")[0]
    records.give_up(message.id, "410 gone")
    assert records.outputs_waiting() == {"mqtt": 1}
    assert records.events(limit=1)[0].data["error"] == "410 gone"


def test_messages_survive_a_restart_and_belong_to_their_station(url, inspection):
    with Records.open(url, station="line 1") as records:
        spool(records, inspection, "a")
    with Records.open(url, station="line 2") as records:
        assert records.pending_outputs() == [] and records.outputs_waiting() == {}
    with Records.open(url, station="line 1") as records:
        assert len(records.pending_outputs()) == 2


def test_a_payload_that_is_not_json_records_nothing(lite, inspection):
    given = inspection()
    with pytest.raises(RecordsError, match="hook: the payload is not JSON"):
        lite.record([given], arrival="a", outputs=[Message("hook", given.id, {"x": float("nan")})])
    assert lite.by_arrival("a") == []
