"""A model or a generator on disk: ``manifest.json`` and the files that it lists with their SHA-256.

Nothing in it is executed on loading. It is written to a temporary folder and renamed, so that a
crash leaves the old model or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goodpart.errors import ModelError

FORMAT = 1
MANIFEST = "manifest.json"


def write_folder(
    target: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any], *, force: bool = False
) -> None:
    """Write a model folder, all or nothing.

    Parameters
    ----------
    target : Path
    files : mapping of str to bytes
        By relative path.
    manifest : mapping
        Without the format and the list of files, which are added.
    force : bool
        Replace a model that is there.

    Raises
    ------
    ModelError
        The folder exists and ``force`` is not given, or cannot be written.
    """
    check_free(target, force=force)
    listed = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in sorted(files.items())
    }
    complete = {"format": FORMAT, **manifest, "files": listed}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
        temporary.mkdir()
        try:
            for name, data in files.items():
                file = temporary / name
                file.parent.mkdir(parents=True, exist_ok=True)
                _write_synced(file, data)
            _write_synced(temporary / MANIFEST, _manifest_bytes(complete))
            _replace_folder(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise ModelError(f"{target}: cannot be written: {error.strerror or error}") from None


def read_files(folder: Path, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The files that a manifest lists.

    Raises
    ------
    ModelError
        One is missing, has changed since it was written, or lies outside the folder; or the
        manifest does not list them as it should.
    """
    listed = manifest.get("files")
    if not isinstance(listed, dict) or not all(isinstance(e, dict) for e in listed.values()):
        raise ModelError(f"{folder}: the manifest is damaged: no list of files")
    return {name: _checked(folder, name, entry.get("sha256")) for name, entry in listed.items()}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a model folder, without loading the model.

    Raises
    ------
    ModelError
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"{folder}: not a model folder (no {MANIFEST}); train one with: goodpart train"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder}: the manifest cannot be read: {error}") from None
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise ModelError(f"{folder}: the manifest is damaged: {error}") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(version, int):
        raise ModelError(f"{folder}: the manifest is damaged: no format version")
    if version > FORMAT:
        raise ModelError(
            f"{folder}: written by a newer goodpart (format {version}, this one reads up to "
            f"{FORMAT}); update goodpart"
        )
    return manifest


def change_manifest(folder: Path, **changes: Any) -> None:
    """Change entries of a model folder's manifest, such as its limits; all or nothing.

    Raises
    ------
    ModelError
        The folder is no model, or cannot be written.
    """
    manifest = {**read_manifest(folder), **changes}
    temporary = folder / f".{MANIFEST}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        try:
            _write_synced(temporary, _manifest_bytes(manifest))
            os.replace(temporary, folder / MANIFEST)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _manifest_bytes(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False).encode("utf-8")


def check_free(target: Path, *, force: bool) -> None:
    """Refuse to overwrite.

    Raises
    ------
    ModelError
        The target exists and ``force`` is not given, or it is not a model at all.
    """
    if not target.exists():
        return
    if not force:
        raise ModelError(f"{target}: exists already; give another --out or add --force")
    if not (target / MANIFEST).is_file() and (target.is_file() or any(target.iterdir())):
        raise ModelError(f"{target}: exists and is not a model; even --force leaves it alone")


def _checked(folder: Path, name: str, sha256: Any) -> bytes:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ModelError(f"{folder}: the manifest names a file outside the folder: {name}")
    try:
        data = file.read_bytes()
    except OSError:
        raise ModelError(f"{folder}: {name} is missing; copy the whole folder again") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(f"{folder}: {name} has changed since training; copy the folder again")
    return data


def _write_synced(file: Path, data: bytes) -> None:
    with open(file, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _replace_folder(new: Path, target: Path) -> None:
    """Put a folder in the place of another; a crash in between leaves the old one beside it."""
    if not target.exists():
        os.replace(new, target)
        return
    old = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.old"
    os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
