"""Names on the line: the identity of an arrival, and what may become a folder's name."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

ID_LENGTH = 30
LONGEST_NAME = 255
"""In bytes; what file systems allow."""

_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_OWN = frozenset({"done", "ng", "quarantine", "health.json"})


@dataclass(frozen=True)
class Arrival:
    """One image (or whatever else came), claimed.

    Parameters
    ----------
    id : str
        Its identity: when it was claimed (UTC, microseconds) and eight random digits. The same
        bytes dropped again are another arrival.
    name : str
        The file's name as it came, as :func:`os.fsdecode` gives it.
    lot : str, optional
        The subfolder of the inbox, with ``/``.
    path : Path
        Where it lies now.
    whole_at : float
        :func:`time.monotonic` when the file was found complete; 0 for one taken over from an
        earlier run.
    settled : bool
        Whether the file was waited for until it stood still.
    """

    id: str
    name: str
    lot: str | None
    path: Path
    whole_at: float = 0.0
    settled: bool = True

    @property
    def source(self) -> str:
        """What records and messages call it: lot and name, always valid text on one line."""
        shown = printable(self.name)
        return shown if self.lot is None else f"{printable(self.lot)}/{shown}"

    @property
    def day(self) -> str:
        """The local day of its claim, such as ``2026-11-24``."""
        moment = datetime.strptime(self.id[:21], "%Y%m%dT%H%M%S%f").replace(tzinfo=timezone.utc)
        return moment.astimezone().strftime("%Y-%m-%d")


def new_id() -> str:
    """An identity that sorts by time."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"


def claim_name(arrival_id: str, name: str) -> str:
    """The file name of a claim; a name too long for it loses its middle, never its suffix."""
    room = LONGEST_NAME - ID_LENGTH - 1
    raw = os.fsencode(name)
    if len(raw) > room:
        tail = raw[-32:]
        raw = raw[: room - len(tail)] + tail
        # A cut inside a character must not make a strange name of a good one.
        name = raw.decode("utf-8", "ignore") if not is_strange(name) else os.fsdecode(raw)
    return f"{arrival_id}~{name}"


def parse_claim(file_name: str) -> tuple[str, str] | None:
    """Identity and name from a claim's file name; ``None`` where it is not one."""
    arrival_id, name = file_name[:ID_LENGTH], file_name[ID_LENGTH + 1 :]
    if not re.fullmatch(r"\d{8}T\d{12}-[0-9a-f]{8}", arrival_id):
        return None
    if file_name[ID_LENGTH : ID_LENGTH + 1] != "~" or not name:
        return None
    return arrival_id, name


def is_strange(name: str) -> bool:
    """Whether a name holds control characters or bytes that are not UTF-8."""
    return any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def printable(name: str) -> str:
    """The name as valid text on one line: what is strange in it is escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        letter if unicodedata.category(letter) != "Cc" else f"\\x{ord(letter):02x}"
        for letter in text
    )


def folder_name(part: str, arrival_id: str) -> str:
    """A part's name as the name of a folder on any system.

    A name that must be changed for it gets the end of the arrival's identity, so that two names
    never become one.
    """
    safe = _UNSAFE.sub("_", printable(part)).rstrip(". ")
    while len(os.fsencode(safe)) > 200:
        safe = safe[:-1]
    if safe.startswith("."):
        safe = "_" + safe[1:]
    if _RESERVED.match(safe):
        safe = f"_{safe}"
    if safe != part or safe.lower() in _OWN or not safe:
        return f"{safe}~{arrival_id[-8:]}"
    return safe


def free_name(folder: Path, name: str, arrival_id: str) -> Path:
    """Where a file can be put in a folder: under its name, or with its identity if that is taken.

    Parameters
    ----------
    folder : Path
    name : str
    arrival_id : str
    """
    target = folder / name
    if not os.path.lexists(target):
        return target
    stem, suffix = os.path.splitext(name)
    mark = f"~{arrival_id}"
    room = LONGEST_NAME - len(mark) - len(os.fsencode(suffix))
    short = os.fsdecode(os.fsencode(stem)[:room])
    return folder / f"{short}{mark}{suffix}"
