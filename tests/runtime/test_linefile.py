"""The line file."""

from __future__ import annotations

from pathlib import Path

import pytest

from goodpart.errors import RecipeError
from goodpart.outputs.settings import SecretSection
from goodpart.runtime.linefile import LineFile, load_line_file, parse_line_file


def test_a_whole_line_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text(
        """
        station = "press 1"
        [folders]
        inbox = "in"
        results = "out"
        [database]
        url_from = { env = "DB" }
        [watch]
        handoff = "legacy"
        settle = 0.5
        [outputs.webhook]
        url = "https://mes.example/hook"
        secret = { file = "secret.txt" }
        [outputs.mqtt]
        host = "broker"
        [metrics]
        port = 9400
        """
    )
    line = load_line_file(file)
    assert line.station == "press 1"
    assert line.folders.inbox == Path("in")
    assert line.watch.handoff == "legacy" and line.watch.image == "image.jpg"
    assert line.outputs.webhook is not None and line.outputs.webhook.timeout == 5
    assert line.metrics.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[watch]\nsetle = 1", "watch.setle"),
        ("[watch]\nimage = '../a.jpg'", "plain file name"),
        ("[outputs.webhook]\nurl = 'ftp://x'", "outputs.webhook.url"),
        ("[outputs.webhook]\nurl = 'http://x'\nsecret = 'plain'", "secret"),
        ("[outputs.mqtt]\nhost = 'b'\ntopic = 'a/#'", "topic"),
        ("[database]\nurl = 'a'\nurl_from = {env = 'B'}", "not both"),
        ("not toml", "not a TOML file"),
    ],
)
def test_a_mistake_is_named_by_its_place(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=said) as caught:
        load_line_file(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_line_overrides_single_values() -> None:
    line = parse_line_file({"watch": {"settle": 0.5}, "folders": {"inbox": "a"}})
    changed = line.with_values(watch={"handoff": "legacy"}, folders={"results": Path("b")})
    assert changed.watch.settle == 0.5 and changed.watch.handoff == "legacy"
    assert changed.folders.inbox == Path("a") and changed.folders.results == Path("b")
    with pytest.raises(RecipeError, match="handoff"):
        LineFile().with_values(watch={"handoff": "fax"})


def test_secrets_come_from_a_variable_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "one")
    (tmp_path / "key").write_text("two\n")
    assert SecretSection(env="KEY").read("x") == "one"
    assert SecretSection(file=tmp_path / "key").read("x") == "two"
    (tmp_path / "key").write_text("")
    for secret in (SecretSection(env="NO_SUCH_KEY"), SecretSection(file=tmp_path / "key")):
        with pytest.raises(RecipeError, match="empty or not set"):
            secret.read("x")
    with pytest.raises(ValueError, match="either"):
        SecretSection()
