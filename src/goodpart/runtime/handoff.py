"""Results handed to the reader: withdrawn before a claim, staged, and put in place as one.

Staged files lie in ``.goodpart/staged/<arrival>`` of the results folder, laid out as they will
be; putting them in place is a rename for each, ``result.txt`` last. What has left the staging
folder is in place, so a restart goes on where it stopped.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from goodpart.decision import Inspection, Verdict
from goodpart.decision.pictures import HeatScale
from goodpart.outputs.result_files import ORDER, RESULT, result_files, worst
from goodpart.outputs.settings import FilesSection
from goodpart.runtime.inbox import OWN_FOLDER
from goodpart.runtime.linefile import WatchSection
from goodpart.runtime.names import Arrival, folder_name, parse_claim


class Handoff:
    """The results folder.

    Parameters
    ----------
    results : Path
    settings : WatchSection
    files : FilesSection
    scale : HeatScale
        Of the model.
    claims : Path
        Where claims lie, and
    inbox : Path
        where images arrive: with one fixed name, a result is withheld when a newer image has come.
    """

    def __init__(
        self,
        results: Path,
        settings: WatchSection,
        files: FilesSection,
        scale: HeatScale,
        *,
        claims: Path,
        inbox: Path,
    ) -> None:
        self.results = results
        self.staged = results / OWN_FOLDER / "staged"
        self._legacy = settings.handoff == "legacy"
        self._fixed = inbox / settings.image
        self._files = files
        self._scale = scale
        self._claims = claims
        self._trays = results / OWN_FOLDER / "trays"
        self._lock = threading.Lock()

    def warm_up(self, size: tuple[int, int]) -> None:
        """Draw once, so that the first part does not pay for lazy imports.

        Parameters
        ----------
        size : (int, int)
            Height and width of part images.
        """
        flat = np.zeros(size, dtype=np.float32)
        inspection = Inspection(Verdict.OK, source="", part="", score=0.0, raw_map=flat)
        result_files(inspection, self._scale)

    @contextmanager
    def claiming(self, arrival: Arrival) -> Iterator[None]:
        """Remove the old results of this name, then let the claim happen, as one step.

        Raises
        ------
        OSError
            They cannot be removed: the image must not be claimed.
        """
        with self._lock:
            self.withdraw(arrival)
            yield

    def withdraw(self, arrival: Arrival) -> None:
        """Remove every ``result.txt`` that this arrival will write again.

        Raises
        ------
        OSError
        """
        if not self._files.enabled:
            return
        self._there()
        if self._legacy:
            (self.results / RESULT).unlink(missing_ok=True)
            return
        tray = self._tray_file(arrival)
        parts = tray.read_text(encoding="utf-8").splitlines() if tray.is_file() else []
        target = self._target(arrival)
        for part in (folder_name(Path(arrival.source).stem, arrival.id), *parts):
            with suppress(NotADirectoryError):
                (target / part / RESULT).unlink(missing_ok=True)

    def withdraw_fixed(self) -> None:
        """With one fixed name: remove the old result as soon as a new image shows itself.

        Raises
        ------
        OSError
        """
        if self._legacy and self._files.enabled:
            with self._lock:
                if os.path.lexists(self._fixed):
                    self._there()
                    (self.results / RESULT).unlink(missing_ok=True)

    def stage(
        self,
        arrival: Arrival,
        inspections: Sequence[Inspection],
        pool: Executor | None = None,
    ) -> None:
        """Write the result files where no reader looks.

        Parameters
        ----------
        arrival : Arrival
        inspections : sequence of Inspection
        pool : Executor, optional
            See :func:`goodpart.outputs.result_files.result_files`.

        Raises
        ------
        OSError
        """
        if not self._files.enabled:
            return
        self._there()
        try:
            self._write_staged(arrival, inspections, pool)
        except OSError:
            # On a full disk half a result would take the room that others could use.
            self.discard(arrival)
            raise

    def _write_staged(
        self, arrival: Arrival, inspections: Sequence[Inspection], pool: Executor | None
    ) -> None:
        root = self.staged / arrival.id
        root.mkdir(exist_ok=True)
        shown = [worst(inspections)] if self._legacy else inspections
        if not self._legacy and any(inspection.pocket is not None for inspection in shown):
            self._note_tray(arrival, inspections)
        for inspection in shown:
            folder = root
            if not self._legacy:
                folder = root / folder_name(inspection.part, arrival.id)
            folder.mkdir(exist_ok=True)
            files = result_files(
                inspection,
                self._scale,
                pictures=self._files.pictures,
                legacy=self._legacy,
                pool=pool,
            )
            for name, data in files.items():
                (folder / name).write_bytes(data)

    def publish(self, arrival: Arrival) -> bool:
        """Put what is staged in its place; may be called again after a crash.

        Returns
        -------
        bool
            False where a newer image of the fixed name has come, whose reader must not be shown
            this result.

        Raises
        ------
        OSError
            Not everything is in place yet; call it again.
        """
        root = self.staged / arrival.id
        if not self._files.enabled:
            return True
        self._there()
        if not root.is_dir():
            return True
        with self._lock:
            if self._legacy and self._superseded(arrival):
                self.discard(arrival)
                return False
            if self._legacy:
                self._put(root, self.results)
            else:
                for folder in sorted(root.iterdir()):
                    self._put(folder, self._target(arrival) / folder.name)
                root.rmdir()
        return True

    def discard(self, arrival: Arrival) -> None:
        """Remove what is staged: it belongs to a judgement that was never recorded.

        Raises
        ------
        OSError
        """
        root = self.staged / arrival.id
        if root.is_dir():
            shutil.rmtree(root)

    def discard_orphans(self, known: set[str]) -> None:
        """Remove what is staged for arrivals that are not claimed any more.

        Parameters
        ----------
        known : set of str
            Identities of the claims there are.
        """
        for entry in list(os.scandir(self.staged)):
            if entry.name not in known:
                shutil.rmtree(entry.path, ignore_errors=True)

    def _there(self) -> None:
        """A share that has gone may leave an empty folder in its place, where no reader looks.

        Raises
        ------
        OSError
            What was made at the start is not there.
        """
        if not self.staged.is_dir():
            # Not FileNotFoundError: that would say that the image has gone.
            raise OSError(errno.ENODEV, "the results folder has gone", str(self.results))

    def _tray_file(self, arrival: Arrival) -> Path:
        """Which result folders the trays of this name have had, a line each."""
        folder = self._trays if arrival.lot is None else self._trays / arrival.lot
        return folder / folder_name(f"{Path(arrival.source).stem}.txt", arrival.id)

    def _note_tray(self, arrival: Arrival, inspections: Sequence[Inspection]) -> None:
        """Before anything is published: the next tray of this name may be unreadable, and the
        results of all its pockets have to go all the same."""
        file = self._tray_file(arrival)
        text = "".join(f"{folder_name(i.part, arrival.id)}\n" for i in inspections)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{arrival.id}.tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, file)

    def _target(self, arrival: Arrival) -> Path:
        return self.results if arrival.lot is None else self.results / arrival.lot

    @staticmethod
    def _put(folder: Path, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for name in ORDER:
            with suppress(FileNotFoundError):
                os.replace(folder / name, target / name)
        folder.rmdir()

    def _superseded(self, arrival: Arrival) -> bool:
        if os.path.lexists(self._fixed):
            return True
        claims = (parse_claim(entry.name) for entry in os.scandir(self._claims))
        return any(claim is not None and claim[0] > arrival.id for claim in claims)
