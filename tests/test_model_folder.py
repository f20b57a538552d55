"""A model's folder: written whole or not at all, read only when intact."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from goodpart.errors import ModelError
from goodpart.model_folder import (
    MANIFEST,
    change_manifest,
    read_files,
    read_manifest,
    write_folder,
)

FILES = {"detector.safetensors": b"numbers", "curves/loss.png": b"picture"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "models/caps"
    write_folder(target, FILES, {"id": "one"})
    return target


def test_what_was_written_comes_back(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest["id"] == "one"
    assert read_files(folder, manifest) == FILES


def test_an_existing_model_is_not_overwritten_without_force(folder: Path) -> None:
    with pytest.raises(ModelError, match="--force"):
        write_folder(folder, {}, {"id": "two"})
    assert read_manifest(folder)["id"] == "one"
    write_folder(folder, {}, {"id": "two"}, force=True)
    assert [path.name for path in folder.iterdir()] == [MANIFEST], "nothing of the old one is left"
    assert [path.name for path in folder.parent.iterdir()] == ["caps"]


def test_force_leaves_a_folder_alone_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/holiday.jpg").write_bytes(b"precious")
    with pytest.raises(ModelError, match="not a model"):
        write_folder(tmp_path / "photos", FILES, {}, force=True)
    assert (tmp_path / "photos/holiday.jpg").read_bytes() == b"precious"


@pytest.mark.parametrize("at", range(3))
def test_a_full_disk_leaves_the_old_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Whichever of the two files or the manifest no longer fits."""
    synced = []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) > at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match="No space left"):
        write_folder(folder, FILES, {"id": "two"}, force=True)
    assert read_manifest(folder)["id"] == "one"
    assert read_files(folder, read_manifest(folder)) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["caps"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def refused(source: Path, target: Path) -> None:
        if Path(source).suffix == ".tmp":
            raise OSError(16, "Device or resource busy")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(ModelError, match="busy"):
        write_folder(folder, FILES, {"id": "two"}, force=True)
    assert read_manifest(folder)["id"] == "one"
    assert [path.name for path in folder.parent.iterdir()] == ["caps"]


def test_damage_is_noticed(folder: Path) -> None:
    manifest = read_manifest(folder)
    (folder / "detector.safetensors").write_bytes(b"numberz")
    with pytest.raises(ModelError, match="has changed since training"):
        read_files(folder, manifest)
    (folder / "detector.safetensors").unlink()
    with pytest.raises(ModelError, match="is missing"):
        read_files(folder, manifest)


def test_a_file_outside_the_folder_is_not_read(folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"")
    with pytest.raises(ModelError, match="outside the folder"):
        read_files(folder, {"files": {"../secret": {"sha256": ""}}})


@pytest.mark.parametrize("files", [None, ["a"], {"detector.safetensors": "hash"}])
def test_a_list_of_files_that_is_none_is_damage(folder: Path, files: object) -> None:
    with pytest.raises(ModelError, match="damaged"):
        read_files(folder, {"files": files})
    with pytest.raises(ModelError, match="changed"):
        read_files(folder, {"files": {"detector.safetensors": {}}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "damaged"),
        (b"[]", "no format version"),
        (b'{"format": "x"}', "no format version"),
        (b'{"format": 999}', "newer goodpart"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_manifests_that_are_not_right_are_one_line(
    folder: Path, content: bytes, message: str
) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        read_manifest(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_manifest_says_how_to_train(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="goodpart train"):
        read_manifest(tmp_path)


def test_changed_entries_leave_the_others(folder: Path) -> None:
    before = read_manifest(folder)
    change_manifest(folder, limits={"ok": 1.0, "ng": 2.0})
    assert read_manifest(folder) == {**before, "limits": {"ok": 1.0, "ng": 2.0}}
    assert json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"] == before["files"]
