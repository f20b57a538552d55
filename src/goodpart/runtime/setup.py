"""What a watcher needs before it starts: folders, locks, the database's URL, the outputs."""

from __future__ import annotations

from pathlib import Path

from goodpart.errors import GoodpartError
from goodpart.outputs.delivery import Output
from goodpart.records import default_url
from goodpart.runtime.inbox import OWN_FOLDER
from goodpart.runtime.linefile import LineFile
from goodpart.runtime.lock import FolderLock


class Locks:
    """Both folders, or the one that serves as both, held for one watcher (context manager)."""

    def __init__(self, inbox: Path, results: Path) -> None:
        self._folders = {inbox.resolve(), results.resolve()}
        self._locks: list[FolderLock] = []

    def __enter__(self) -> None:
        try:
            for folder in sorted(self._folders):
                make_folder(folder / OWN_FOLDER)
                self._locks.append(FolderLock(folder / OWN_FOLDER / "lock", str(folder)))
        except GoodpartError:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        for lock in self._locks:
            lock.release()


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it.

    Raises
    ------
    GoodpartError
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GoodpartError(f"{folder}: cannot be created: {error.strerror or error}") from None


def line_folders(line: LineFile) -> tuple[Path, Path]:
    """Inbox and results, absolute; the results are made where they are missing.

    Raises
    ------
    GoodpartError
        One is not given, the inbox does not exist, or the results lie in the inbox.
    """
    inbox, results = line.folders.inbox, line.folders.results
    if inbox is None or results is None:
        raise GoodpartError(
            "the inbox and the results folder are needed: give --inbox and --results, or "
            "folders.inbox and folders.results in the line file"
        )
    inbox, results = inbox.absolute(), results.absolute()
    if not inbox.is_dir():
        raise GoodpartError(f"{inbox}: no such folder; create it, or give another --inbox")
    inside = results.resolve().is_relative_to(inbox.resolve())
    if inside and line.watch.handoff != "legacy":
        raise GoodpartError(
            f"{results}: the results lie in the inbox and would be judged in their turn; give "
            "another --results"
        )
    make_folder(results)
    return inbox, results


def database_url(line: LineFile) -> str:
    """Where the records are kept.

    Raises
    ------
    RecipeError
        The secret that holds it cannot be read.
    """
    if line.database.url_from is not None:
        return line.database.url_from.read("database.url_from")
    return line.database.url or default_url()


def line_outputs(line: LineFile) -> list[Output]:
    """The outputs that get messages.

    Raises
    ------
    GoodpartError
        A secret cannot be read, or an extra is not installed.
    """
    outputs: list[Output] = []
    webhook, mqtt = line.outputs.webhook, line.outputs.mqtt
    if webhook is not None and webhook.enabled:
        from goodpart.outputs.webhook import Webhook

        outputs.append(Webhook(webhook))
    if mqtt is not None and mqtt.enabled:
        from goodpart.outputs.mqtt import Mqtt

        outputs.append(Mqtt(mqtt, line.station))
    return outputs
