"""The dispatcher: at least once, in order, in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from tests.outputs.conftest import MemorySpool

from goodpart.outputs.delivery import MOST_REFUSALS, DeliveryError, Dispatcher
from goodpart.outputs.settings import RetrySection


class Scripted:
    """An output that fails as told: errors in turn, then success."""

    name = "scripted"
    retry = RetrySection(first=0.01, longest=0.02)

    def __init__(self, *errors: DeliveryError | None) -> None:
        self.errors = list(errors)
        self.got: list[str] = []
        self.closed = False

    def send(self, key: str, payload: Mapping[str, Any]) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.got.append(key)

    def announce(self, state: str) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def dispatch() -> Iterator[Callable[..., Dispatcher]]:
    started: list[Dispatcher] = []

    def start(output: Any, spool: Any) -> Dispatcher:
        started.append(Dispatcher(output, spool))
        started[-1].start()
        return started[-1]

    yield start
    for dispatcher in started:
        dispatcher.stop()


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not done():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_messages_go_out_in_order(dispatch: Callable[..., Dispatcher]) -> None:
    spool, output = MemorySpool(120), Scripted()
    dispatch(output, spool)
    until(lambda: all(row.state == "sent" for row in spool.rows))
    assert output.got == [row.key for row in spool.rows]


def test_a_receiver_that_is_away_gets_everything_in_order_when_it_returns(
    dispatch: Callable[..., Dispatcher],
) -> None:
    spool, output = MemorySpool(5), Scripted(*[DeliveryError("away")] * 4)
    dispatcher = dispatch(output, spool)
    until(lambda: all(row.state == "sent" for row in spool.rows))
    assert output.got == [row.key for row in spool.rows]
    assert spool.rows[0].attempts == 4
    assert dispatcher.error is None


def test_one_refused_message_does_not_hold_the_others(
    dispatch: Callable[..., Dispatcher],
) -> None:
    class Picky(Scripted):
        def send(self, key: str, payload: Mapping[str, Any]) -> None:
            if key == "key0":
                raise DeliveryError("answered 400", refused=True)
            super().send(key, payload)

    spool, output = MemorySpool(3), Picky()
    spool.rows[0].attempts = MOST_REFUSALS - 3
    dispatch(output, spool)
    until(lambda: all(row.state != "pending" for row in spool.rows))
    assert output.got == ["key1", "key2"]
    assert spool.rows[0].state == "failed"


def test_what_was_sent_is_marked_though_the_next_one_fails(
    dispatch: Callable[..., Dispatcher],
) -> None:
    spool, output = MemorySpool(2), Scripted(None, DeliveryError("away"))
    dispatch(output, spool)
    until(lambda: all(row.state == "sent" for row in spool.rows))
    assert output.got == ["key0", "key1"]


def test_new_messages_are_noticed(dispatch: Callable[..., Dispatcher]) -> None:
    spool, output = MemorySpool(0), Scripted()
    dispatcher = dispatch(output, spool)
    spool.rows += MemorySpool(1).rows
    start = time.monotonic()
    dispatcher.wake()
    until(lambda: output.got == ["key0"])
    assert time.monotonic() - start < 0.5


def test_stopping_closes_the_output() -> None:
    output = Scripted()
    dispatcher = Dispatcher(output, MemorySpool(1))
    dispatcher.start()
    dispatcher.stop()
    assert output.closed
