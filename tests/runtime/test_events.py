"""What the system tells of a folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goodpart.runtime.events import Events, Inotify, Watchdog, is_network_share


@pytest.mark.parametrize("kind", [Inotify, Watchdog])
def test_closing_and_renaming_are_told(kind: Callable[..., Events], tmp_path: Path) -> None:
    if kind is Inotify and sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    told: list[tuple[Path | None, bool]] = []
    events = kind(lambda path, whole: told.append((path, whole)))
    folder = tmp_path / "in"
    folder.mkdir()
    events.watch(folder)
    (folder / "written").write_bytes(b"x")
    (folder / "moved.tmp").write_bytes(b"x")
    os.rename(folder / "moved.tmp", folder / "moved")
    end = time.monotonic() + 5
    wanted = {(folder / "written", True), (folder / "moved", True)}
    while not wanted <= set(told):
        assert time.monotonic() < end, told
        time.sleep(0.01)
    events.close()
    count = len(told)
    (folder / "later").write_bytes(b"x")
    time.sleep(0.1)
    assert len(told) == count


def test_a_folder_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    events = Inotify(lambda path, whole: None)
    try:
        with pytest.raises(FileNotFoundError):
            events.watch(tmp_path / "gone")
    finally:
        events.close()


def test_a_local_folder_is_no_network_share(tmp_path: Path) -> None:
    assert not is_network_share(tmp_path)
