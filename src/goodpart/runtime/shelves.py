"""Where an input goes once its verdict is known: done, ng or quarantine, by day."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from goodpart.decision import Verdict
from goodpart.runtime.names import Arrival, free_name


class Shelves:
    """The folders for judged inputs.

    Parameters
    ----------
    done, ng, quarantine : Path
        For OK; for NG and CHECK; for what could not be judged.
    delete : bool
        Delete what was judged instead; what could not be judged is always kept.
    """

    def __init__(self, done: Path, ng: Path, quarantine: Path, *, delete: bool) -> None:
        self.done, self.ng, self.quarantine = done, ng, quarantine
        self._delete = delete

    def put_away(self, arrival: Arrival, verdicts: Iterable[Verdict]) -> Path | None:
        """Move the claimed file to its shelf, or delete it.

        Returns
        -------
        Path or None
            Where it lies now; ``None`` where it is deleted, or had been put away already.

        Raises
        ------
        OSError
            It still lies where it lay.
        """
        found = set(verdicts)
        if found & {Verdict.NG, Verdict.CHECK}:
            shelf = self.ng
        else:
            shelf = self.quarantine if Verdict.NOT_JUDGED in found else self.done
        if self._delete and shelf != self.quarantine:
            arrival.path.unlink(missing_ok=True)
            return None
        folder = shelf / arrival.day
        if arrival.lot is not None:
            folder = folder / arrival.lot
        folder.mkdir(parents=True, exist_ok=True)
        target = free_name(folder, arrival.name, arrival.id)
        try:
            os.rename(arrival.path, target)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._move_across(arrival, folder, target)
        return target

    @staticmethod
    def _move_across(arrival: Arrival, folder: Path, target: Path) -> Path:
        """To another file system: copied beside the target, renamed, then removed here."""
        source = arrival.path
        if not stat.S_ISREG(os.lstat(source).st_mode):
            shutil.move(source, target)
            return target
        copied = folder / arrival.name
        # A crash between the rename and the removal left a copy: it is not made again.
        if not (copied.is_file() and filecmp.cmp(source, copied, shallow=False)):
            temporary = folder / f".{arrival.id}.tmp"
            with open(source, "rb") as reader, open(temporary, "wb") as writer:
                shutil.copyfileobj(reader, writer)
                writer.flush()
                os.fsync(writer.fileno())
            shutil.copystat(source, temporary)
            os.replace(temporary, target)
            copied = target
        source.unlink()
        return copied
