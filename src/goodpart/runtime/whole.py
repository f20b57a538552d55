"""Whether a file has arrived whole, looked at without changing or keeping anything."""

from __future__ import annotations

import os
import stat
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from goodpart.errors import ImageError
from goodpart.parts.read import read_image
from goodpart.recipe import InputSection

_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


class State(Enum):
    """What a look at a file says."""

    WHOLE = "whole"
    PARTIAL = "partial"
    """Not an image to its end; may become one while it is being written."""
    FOREIGN = "foreign"
    """Nothing that could become a usable image: a folder, another kind of file, too large."""


def look(path: Path, status: os.stat_result, limits: InputSection) -> State:
    """Look at a file.

    The marks that formats have at their ends are enough for a yes (the image is decoded anyway
    when it is judged); only where they leave a doubt it is decoded here.

    Parameters
    ----------
    path : Path
    status : os.stat_result
        Of the path itself, links not followed.
    limits : InputSection

    Raises
    ------
    OSError
        The file cannot be read, or is gone.
    """
    if not stat.S_ISREG(status.st_mode) or status.st_size > limits.max_bytes:
        return State.FOREIGN
    if status.st_size < 16:
        return State.PARTIAL
    with open_regular(path) as file:
        head = file.read(32)
        file.seek(-12, os.SEEK_END)
        tail = file.read(12)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        sure = tail == _PNG_END
    elif head.startswith(b"\xff\xd8\xff"):
        sure = tail.endswith(b"\xff\xd9")
    elif head.startswith(b"BM"):
        sure = int.from_bytes(head[2:6], "little") == status.st_size
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        sure = int.from_bytes(head[4:8], "little") + 8 == status.st_size
    elif head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        sure = False
    else:
        # Some writers fill the beginning last; until then it is zeros.
        return State.PARTIAL if not any(head) else State.FOREIGN
    return State.WHOLE if sure else _decode(path, limits)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, never a link, and never waiting for the other end of a pipe.

    Raises
    ------
    OSError
        It is gone, cannot be read, or is not a regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"not a regular file: {path}")
    return os.fdopen(handle, "rb")


def _decode(path: Path, limits: InputSection) -> State:
    try:
        read_image(path, limits=limits)
    except ImageError as error:
        return State.FOREIGN if error.reason in ("too large", "unsupported") else State.PARTIAL
    return State.WHOLE
