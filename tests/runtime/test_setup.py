"""What a watcher needs before it starts."""

from __future__ import annotations

from goodpart.runtime.linefile import parse_line_file
from goodpart.runtime.setup import line_outputs


def test_each_output_is_on_where_it_is_set_and_off_where_the_line_file_says_so() -> None:
    webhook = {"url": "http://127.0.0.1:9/hook"}
    on = parse_line_file({"outputs": {"webhook": webhook}})
    off = parse_line_file(
        {
            "outputs": {
                "webhook": {**webhook, "enabled": False},
                "mqtt": {"host": "nowhere", "enabled": False},
            }
        }
    )
    assert [output.name for output in line_outputs(on)] == ["webhook"]
    assert line_outputs(off) == []
