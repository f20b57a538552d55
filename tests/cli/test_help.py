"""Help, documentation and start-up time of every verb."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from goodpart.cli.app import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(goodpart, verb):
    done = goodpart(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"goodpart {verb}" in done.stdout
    assert "Example: " in done.stdout


@pytest.mark.parametrize("page", ["README.md", "README.ko.md", "docs/commands.md"])
def test_every_verb_is_documented(root, page):
    text = (root / page).read_text(encoding="utf-8")
    missing = [verb for verb in VERBS if f"`{verb}" not in text and f"goodpart {verb}" not in text]
    assert not missing


def test_every_verb_has_one_line_in_the_list(goodpart):
    listed = goodpart("--help").stdout
    for verb, (_, text) in VERBS.items():
        assert verb in listed
        assert text.endswith(".") and len(text) <= 60, verb


def processor_seconds(*arguments):
    """What a Python process takes, least of three.

    Processor time, which is what the clock shows on an idle machine: other work on a busy one
    must not decide a test.
    """

    def run():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(run() for _ in range(3))


def test_importing_goodpart_takes_less_than_0_3_seconds():
    assert processor_seconds("-c", "import goodpart") < 0.3


def test_help_takes_less_than_0_5_seconds():
    assert processor_seconds("-m", "goodpart", "--help") < 0.5


def test_starting_imports_nothing_heavy():
    heavy = "torch matplotlib scipy sklearn onnxruntime cv2 sqlalchemy pydantic numpy PIL"
    code = (
        "import sys, goodpart, goodpart.cli.app as app\n"
        "try: app.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('LOADED', sorted(set({heavy!r}.split()) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout
