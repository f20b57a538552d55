from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from goodpart.cli.app import main
from goodpart.model_folder import read_manifest
from goodpart.parts.dataset import is_generated, load_dataset

pytest.importorskip("torch")

from goodpart.generators.synthesis import marked_png

LOOSE = ("--set", "gate.tolerance=1e9", "--set", "gate.farthest=1e9")
TINY = tuple(
    word
    for text in ("width=0.25", "batch=4", "steps=2", "epochs=2", "gate.detector=variation")
    for word in ("--set", text)
)


def run(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Benchmark layout of 10 small discs, with a test image that fails if anything reads it."""
    root = tmp_path_factory.mktemp("synthesize") / "discs"
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :40]
    for split in ("train/good", "test/good", "test/bent"):
        (root / split).mkdir(parents=True)
    for index in range(10):
        radius = np.hypot(rows - 20 - rng.normal(), columns - 20) / 20
        image = 60 + 100 * (radius < 0.8) + rng.normal(0, 3, radius.shape)
        path = root / "train" / "good" / f"{index}.png"
        cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
    (root / "test" / "bent" / "broken.png").write_bytes(b"not an image")
    return root


@pytest.fixture(scope="module")
def generated(data: Path) -> Path:
    out = data.parent / "generated"
    assert run("synthesize", data, out, "--count", 12, *TINY, *LOOSE) == 0
    return out


def test_generated_images_are_named_marked_and_listed(data: Path, generated: Path) -> None:
    items = load_dataset(generated).items
    assert len(items) == 12
    assert all(item.generated and item.good and item.split == "train" for item in items)
    assert all(is_generated(i.path) and i.path.name.startswith("generated_") for i in items)
    assert {i.source for i in items} <= {p.stem for p in (data / "train" / "good").iterdir()}
    assert cv2.imread(str(items[0].path), cv2.IMREAD_UNCHANGED).shape == (40, 40)
    rows = list(csv.DictReader((generated / "index.csv").read_text(encoding="utf-8").splitlines()))
    assert {"file", "source", "class", "generated"} <= set(rows[0])
    assert {row["generated"] for row in rows} == {"true"}
    summary = json.loads((generated / "synthesis.json").read_text(encoding="utf-8"))
    assert len(summary["sha256"]) == 12 and summary["counts"]["kept"] == 12
    for name, sha256 in summary["sha256"].items():
        assert hashlib.sha256((generated / name).read_bytes()).hexdigest() == sha256
    assert {"kid", "precision", "recall", "coverage"} <= set(summary["figures"])
    assert summary["generator"]["training"]["epochs"] == 2
    assert not (generated.parent / "generated.training").exists()


def test_the_report_and_the_sheet_are_whole(generated: Path) -> None:
    page = (generated / "report.html").read_text(encoding="utf-8")
    for text in ("kid", "precision", "Nearest real images", "Kept and rejected", "Training"):
        assert text in page
    assert "http://" not in page and "https://" not in page
    assert (generated / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_kept_generator_draws_more_without_training(
    data: Path, generated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "more"
    arguments = ("--from", generated, "--seed", 5, *LOOSE, "--set", "gate.detector=variation")
    assert run("synthesize", data, out, "--count", 3, *arguments, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    earlier = json.loads((generated / "synthesis.json").read_text(encoding="utf-8"))
    assert answer["counts"]["kept"] == 3
    assert answer["generator"]["id"] == earlier["generator"]["id"]
    mine = {path.read_bytes() for path in (out / "good").iterdir()}
    assert not mine & {path.read_bytes() for path in (generated / "good").iterdir()}


def test_train_learns_from_them_and_sets_limits_on_real_ones(data: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    for path in (data / "train" / "good").iterdir():
        flipped = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[:, ::-1]
        (drawn / f"new_{path.name}").write_bytes(marked_png(flipped, "id"))
    options = ("--detector", "variation", "--set", "align.method=none", "--set")
    arguments = (*options, "limits.overkill=0.2", "--with-generated", drawn)
    assert run("train", data, "--out", tmp_path / "model", *arguments) == 0
    manifest = read_manifest(tmp_path / "model")
    assert manifest["provenance"]["generated_used"] == 10
    assert manifest["provenance"]["parts_used"] == 20
    scored = set(manifest["calibration"]["good_scores"])
    assert scored == {str(p) for p in (data / "train" / "good").iterdir()}


def test_train_says_when_no_generated_image_is_like_the_real_ones(
    data: Path, generated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--detector", "variation", "--set", "align.method=none", "--with-generated")
    # Two steps of training drew grey: too bright for the checks that the real images set.
    assert run("train", data, "--out", tmp_path / "model", *options, generated) == 2
    assert "none of the generated images passes the checks" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_train_takes_only_marked_images_as_generated(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--detector", "variation", "--with-generated", data)
    assert run("train", data, "--out", tmp_path / "model", *options) == 2
    assert "is not marked as generated" in capsys.readouterr().err


def test_a_generated_image_in_a_test_split_is_an_error(
    data: Path, generated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--detector", "variation", "--set", "align.method=none", "--set")
    assert run("train", data, "--out", tmp_path / "m", *options, "limits.overkill=0.2") == 0
    mixed = tmp_path / "mixed"
    shutil.copytree(data, mixed)
    (mixed / "test" / "bent" / "broken.png").unlink()
    drawn = next((generated / "good").iterdir())
    shutil.copy(drawn, mixed / "test" / "good" / "renamed.png")
    assert run("evaluate", tmp_path / "m", mixed, "--json", tmp_path / "a.json") == 2
    error = capsys.readouterr().err
    assert "renamed.png: a generated image in the test split" in error


def test_stopping_keeps_the_last_epoch_and_tells_how_to_go_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from goodpart.generators import adversarial

    out = tmp_path / "out"
    arguments = ("synthesize", data, out, "--count", 2, *TINY, *LOOSE)
    batches = adversarial.Adversarial.batches

    def stop(self: Any, epoch: int, rng: Any) -> Any:
        if epoch == 2:
            raise KeyboardInterrupt
        return batches(self, epoch, rng)

    with monkeypatch.context() as patch:
        patch.setattr(adversarial.Adversarial, "batches", stop)
        assert run(*arguments) == 130
    said = capsys.readouterr().err
    assert "out.training" in said and "the same command goes on" in said
    assert (tmp_path / "out.training" / "last.safetensors").is_file() and not out.exists()
    epochs: list[int] = []

    def spy(self: Any, epoch: int, rng: Any) -> Any:
        epochs.append(epoch)
        return batches(self, epoch, rng)

    monkeypatch.setattr(adversarial.Adversarial, "batches", spy)
    assert run(*arguments) == 0
    assert epochs == [2] and out.is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--generator", "gan"), "no generator is called 'gan'"),
        (("--set", "size=99"), "settings.size=99: light_gan makes"),
        (("--generator", "dcgan", "--set", "size=99"), "dcgan makes multiples of 16"),
        (("--set", "gate.detector=none"), "no detector is called 'none'"),
        (("--from", "nowhere"), "nowhere: not a generator folder"),
        (("--config", "missing.toml"), "missing.toml: cannot be read"),
        (("--count", "0"), "--count"),
        (("--set", "devices=0"), "devices"),
        (("--set", "accelerator=abacus"), "accelerator=abacus, devices=1: "),
    ],
)
def test_bad_input_is_one_line(
    data: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = (
        ("--count", "2", *arguments, "--set", "epochs=1")
        if "--from" not in arguments
        else ("--count", "2", *arguments)
    )
    assert run("synthesize", data, tmp_path / "out", *given) == 2
    error = capsys.readouterr().err.splitlines()
    assert len([line for line in error if line.startswith("goodpart:")]) == 1
    assert message in error[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("few", "7 good training images that can be read; a generator needs at least 8"),
        ("size", "odd.png: is 44x40 pixels but"),
        ("colour", "odd.png in colour; a generator needs all images of one kind"),
    ],
)
def test_images_that_cannot_teach_a_generator_are_one_line(
    data: Path, tmp_path: Path, spoil: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(data / "train", spoiled / "train")
    good = spoiled / "train" / "good"
    if spoil == "few":
        for path in sorted(good.iterdir())[7:]:
            path.unlink()
    else:
        odd = np.zeros((40, 44) if spoil == "size" else (40, 40, 3), np.uint8)
        odd[..., -1] = 200
        cv2.imwrite(str(good / "odd.png"), odd)
    assert run("synthesize", spoiled, tmp_path / "out", "--count", 2, *TINY) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("goodpart:")]
    assert len(said) == 1 and message in said[0]
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.training").exists()


@pytest.mark.slow
def test_two_processes_train_one_generator(data: Path, tmp_path: Path) -> None:
    """Fabric starts the second with the same command, so the command has to be a process."""
    command = [sys.executable, "-m", "goodpart", "synthesize", str(data), str(tmp_path / "out")]
    command += ["--count", "4", "--set", "devices=2", "--set", "accelerator=cpu", *TINY, *LOOSE]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    # Only the first process says and writes anything.
    assert done.stdout.count("look at") + done.stderr.count("look at") == 1
    summary = json.loads((tmp_path / "out" / "synthesis.json").read_text(encoding="utf-8"))
    assert summary["counts"]["kept"] == 4 and summary["settings"]["devices"] == 2
    assert summary["generator"]["training"]["processes"] == 2
    assert not (tmp_path / "out.training").exists()


def test_nothing_else_is_overwritten(
    data: Path, generated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("synthesize", data, generated, "--count", 2, *TINY) == 2
    assert "add --force" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine", encoding="utf-8")
    assert run("synthesize", data, tmp_path / "mine", "--count", 2, *TINY, "--force") == 2
    assert "even --force leaves it alone" in capsys.readouterr().err


def test_a_gate_that_keeps_nothing_says_what_to_do(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hard = ("--set", "gate.tolerance=1e-6", "--set", "gate.draws=1")
    assert run("synthesize", data, tmp_path / "out", "--count", 2, *TINY, *hard) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "kept none of 64" in error and "gate.tolerance" in error
    assert (tmp_path / "out.training").is_dir()  # the training is not lost
