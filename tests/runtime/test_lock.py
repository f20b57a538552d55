"""One watcher for each folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from goodpart.errors import GoodpartError
from goodpart.runtime.lock import FolderLock


def test_a_second_holder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first = FolderLock(tmp_path / "lock", "the inbox")
    with pytest.raises(GoodpartError, match=f"the inbox: process {os.getpid()} already"):
        FolderLock(tmp_path / "lock", "the inbox")
    first.release()
    FolderLock(tmp_path / "lock", "the inbox").release()


def test_a_holder_that_dies_lets_go(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from goodpart.runtime.lock import FolderLock; "
        "FolderLock(Path(sys.argv[1]), 'x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    FolderLock(tmp_path / "lock", "x").release()


def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    with pytest.raises(GoodpartError, match="the inbox: cannot be locked"):
        FolderLock(tmp_path / "gone" / "lock", "the inbox")
