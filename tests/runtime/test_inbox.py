"""Taking files in: whole ones at once, others when they have settled."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.runtime.conftest import encoded

from goodpart.recipe import InputSection
from goodpart.runtime.events import system_events
from goodpart.runtime.inbox import Inbox, is_foreign
from goodpart.runtime.linefile import WatchSection
from goodpart.runtime.names import Arrival

SETTLE, BROKEN = 0.15, 0.5


class Line:
    """An inbox with its events, driven by hand."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.withdrawn: list[str] = []

        @contextmanager
        def before(arrival: Arrival) -> Iterator[None]:
            self.withdrawn.append(arrival.name)
            yield

        values = {"settle": SETTLE, "broken_after": BROKEN, **settings}
        self.inbox = Inbox(folder, WatchSection.model_validate(values), InputSection(), before)
        self.inbox.claims.mkdir(parents=True, exist_ok=True)
        self.events = system_events(self.inbox.told)

    def take(self, longest: float, want: int = 1) -> list[Arrival]:
        """What is claimed until there are so many, or the time is over; no rescans."""
        end, taken = time.monotonic() + longest, list[Arrival]()
        while len(taken) < want and (left := end - time.monotonic()) > 0:
            self.inbox.wait(left)
            taken += self.inbox.claim_ready(100)
        return taken


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make(**settings: object) -> Line:
        lines.append(Line(tmp_path / "in", **settings))
        lines[-1].events.watch(tmp_path / "in")
        return lines[-1]

    (tmp_path / "in").mkdir()
    yield make
    for made in lines:
        made.events.close()


def test_a_rename_into_place_is_honoured_at_once(line: Callable, tmp_path: Path) -> None:
    watched = line()
    (tmp_path / "a").write_bytes(encoded(1))
    start = time.monotonic()
    os.rename(tmp_path / "a", tmp_path / "in" / "a.png")
    [arrival] = watched.take(2)
    assert time.monotonic() - start < SETTLE
    assert arrival.path.read_bytes() == encoded(1)
    assert arrival.path.parent == tmp_path / "in" / ".goodpart" / "claimed"
    assert watched.withdrawn == ["a.png"]


def test_claims_do_not_hold_the_next_arrivals_back(line: Callable, tmp_path: Path) -> None:
    watched = line()
    for number in range(5):
        (tmp_path / "a").write_bytes(encoded(1))
        start = time.monotonic()
        os.rename(tmp_path / "a", tmp_path / "in" / f"{number}.png")
        assert len(watched.take(2)) == 1
        assert time.monotonic() - start < SETTLE


def test_a_close_after_writing_is_honoured_at_once(line: Callable, tmp_path: Path) -> None:
    watched = line()
    with open(tmp_path / "in" / "a.png", "wb") as file:
        file.write(encoded(1)[:100])
        file.flush()
        assert watched.take(3 * SETTLE) == []
        file.write(encoded(1)[100:])
    start = time.monotonic()
    assert len(watched.take(2)) == 1
    assert time.monotonic() - start < SETTLE


def test_a_writer_that_closes_between_its_pieces_is_waited_for(
    line: Callable, tmp_path: Path
) -> None:
    watched = line()
    data = encoded(1)
    for piece in range(0, len(data), 1000):
        with open(tmp_path / "in" / "a.png", "ab") as file:
            file.write(data[piece : piece + 1000])
        if piece + 1000 < len(data):
            assert watched.take(0.05) == []
    [arrival] = watched.take(2)
    assert arrival.path.read_bytes() == data


def test_a_file_that_was_there_settles(line: Callable, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.png").write_bytes(encoded(1))
    watched = line()
    start = time.monotonic()
    watched.inbox.scan()
    assert len(watched.take(2)) == 1
    assert SETTLE <= time.monotonic() - start < SETTLE + 0.3


def test_what_stays_incomplete_is_given_up(line: Callable, tmp_path: Path) -> None:
    watched = line()
    (tmp_path / "in" / "a.png").write_bytes(encoded(1)[:-10])
    start = time.monotonic()
    assert len(watched.take(3)) == 1
    assert time.monotonic() - start >= BROKEN


def test_temporary_names_are_passed_over(line: Callable, tmp_path: Path) -> None:
    watched = line()
    for name in (".a.png.XyZ", "a.png.part", "a.tmp"):
        (tmp_path / "in" / name).write_bytes(encoded(1))
    watched.inbox.scan()
    assert watched.take(2 * SETTLE) == []
    os.rename(tmp_path / "in" / ".a.png.XyZ", tmp_path / "in" / "a.png")
    assert [arrival.name for arrival in watched.take(1)] == ["a.png"]


def test_foreign_things_are_claimed_and_known(line: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "link.png").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "folder.png" / "a.png").write_bytes(encoded(1))
    (folder / "new\nline.png").write_bytes(encoded(1))
    with open(os.fsencode(folder) + b"/\xff.png", "wb") as file:
        file.write(encoded(1))
    watched = line()
    watched.inbox.scan()
    arrivals = watched.take(3, want=5)
    assert len(arrivals) == 5
    assert all(is_foreign(arrival, os.lstat(arrival.path)) for arrival in arrivals)


def test_with_one_fixed_name_nothing_else_is_touched(line: Callable, tmp_path: Path) -> None:
    watched = line(handoff="legacy")
    (tmp_path / "in" / "other.jpg").write_bytes(encoded(1, suffix=".jpg"))
    (tmp_path / "in" / "image.jpg").write_bytes(encoded(2, suffix=".jpg"))
    watched.inbox.scan()
    assert [arrival.name for arrival in watched.take(1, want=2)] == ["image.jpg"]
    assert (tmp_path / "in" / "other.jpg").exists()


def test_subfolders_are_lots(line: Callable, tmp_path: Path) -> None:
    (tmp_path / "in" / "L1" / "a").mkdir(parents=True)
    (tmp_path / "in" / "L1" / "a" / "1.png").write_bytes(encoded(1))
    (tmp_path / "in" / "2.png").write_bytes(encoded(2))
    watched = line(lots=True)
    watched.inbox.scan()
    assert {(a.lot, a.name) for a in watched.take(2, want=2)} == {
        ("L1/a", "1.png"),
        (None, "2.png"),
    }
    assert {(a.lot, a.name) for a in watched.inbox.left_over()} == {
        ("L1/a", "1.png"),
        (None, "2.png"),
    }


def test_old_results_that_cannot_be_removed_keep_the_image_unclaimed(tmp_path: Path) -> None:
    @contextmanager
    def refuse(arrival: Arrival) -> Iterator[None]:
        raise PermissionError("no")
        yield

    settings = WatchSection(settle=0.02)
    inbox = Inbox(tmp_path, settings, InputSection(), refuse)
    inbox.claims.mkdir(parents=True)
    (tmp_path / "a.png").write_bytes(encoded(1))
    inbox.scan()
    for _ in range(2):
        time.sleep(0.05)
        with pytest.raises(PermissionError):
            list(inbox.claim_ready(10))
    assert (tmp_path / "a.png").exists()
    assert inbox.waiting == 1


def test_an_inbox_that_has_gone_is_an_error(tmp_path: Path) -> None:
    inbox = Inbox(
        tmp_path / "gone", WatchSection(), InputSection(), lambda arrival: pytest.fail("claimed")
    )
    with pytest.raises(FileNotFoundError):
        inbox.scan()
