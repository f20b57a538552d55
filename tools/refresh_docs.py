"""Put real output into the documentation, so that it stays true.

    python tools/refresh_docs.py              # everything; runs the demo, takes minutes
    python tools/refresh_docs.py --only help  # docs/commands.md and the tables alone, seconds

Three kinds of marks are filled in README.md, README.ko.md and docs/*.md:

``<!-- run: COMMAND -->``
    The command and what it prints, as a text block. Commands run one after the other in one
    scratch folder, each only once, however many pages show it.
``<!-- verbs -->``
    The table of verbs.
``<!-- benchmark: NAME -->``
    The table of ``benchmarks/results/NAME.json`` (see ``benchmarks/results.py``) with its command,
    machine and date; nothing where that benchmark has not been run.

``docs/commands.md`` is written anew from the help of every verb.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from goodpart.cli.app import VERBS

ROOT = Path(__file__).parents[1]
WIDTH = "88"
MARK = re.compile(r"(<!-- (run|verbs|benchmark)(?:: (.*?))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)


KOREAN = {
    "demo": "렌더링한 캡으로 처음부터 보고서까지 해 봅니다.",
    "stats": "이미지를 세고 중복, 양쪽에 걸친 것, 이상한 것을 찾습니다.",
    "prepare": "트레이 이미지를 정렬된 부품 이미지로 자릅니다.",
    "augment": "학습 이미지를 돌리고 잡음을 더한 사본을 만듭니다.",
    "synthesize": "생성망으로 새로운 양품 이미지를 그립니다.",
    "train": "양품으로 학습하고 한계값을 정합니다.",
    "evaluate": "시험 이미지로 모델을 재고 report.html을 씁니다.",
    "predict": "이미지를 판정합니다: 판정, 점수, 히트맵, 히스토그램.",
    "watch": "라인: 들어오는 이미지를 한 번씩 판정합니다.",
    "station": "작업자 화면을 엽니다.",
    "info": "모델의 층, 레시피, 한계값, 이력을 보여 줍니다.",
    "limits": "한계값과 그 대가를 보여 주고, 학습 없이 다시 정합니다.",
    "learn": "양품 이미지를 모델에 몇 초 만에 더합니다.",
    "tune": "프리셋과 설정을 비교합니다.",
    "bench": "이 PC에서 시간과 메모리를 잽니다.",
    "export": "goodpart 밖에서 도는 ONNX 파일을 씁니다.",
    "records": "기록을 보고, 세고, 내보내고, 정리합니다.",
    "review": "사람의 판정을 기록합니다.",
    "audit": "감사 기록을 확인하고 봅니다.",
    "check": "기준 부품으로 라인을 점검합니다.",
    "gauge": "게이지 연구를 합니다.",
}


def run(command: str, folder: Path, cache: dict[str, str]) -> str:
    """What a command prints on standard output; it must succeed."""
    if command not in cache:
        print(f"$ {command}", flush=True)
        words = shlex.split(command)
        if words[0] == "goodpart":
            words = [sys.executable, "-m", "goodpart", *words[1:]]
        environment = {**os.environ, "COLUMNS": WIDTH, "NO_COLOR": "1"}
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode:
            sys.exit(f"{command}: status {done.returncode}\n{done.stderr}")
        cache[command] = "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines())
    return cache[command]


def verbs_table(*, korean: bool) -> str:
    """The verbs and what they do."""
    rows = [
        f"| `{verb}` | {KOREAN.get(verb, text) if korean else text} |"
        for verb, (_, text) in VERBS.items()
    ]
    head = "| 명령어 | 하는 일 |" if korean else "| verb | does |"
    return "\n".join([head, "|---|---|", *rows]) + "\n"


def benchmark_table(name: str) -> str:
    """A benchmark's table, or nothing where it has not been run."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    if not path.is_file():
        return ""
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    columns = table["columns"]
    lines = [
        "| " + " | ".join(columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in table["rows"]),
    ]
    source = f"`{table['command']}` · {table['date']} · {table['machine']}"
    return "\n".join([f"**{table['title']}**", "", *lines, "", source]) + "\n"


def fill(page: Path, filled: Callable[[Path, str, str], str | None]) -> None:
    """Fill the marks of a page; ``None`` leaves one as it is."""

    def replace(found: re.Match[str]) -> str:
        new = filled(page, found[2], found[3] or "")
        return found[0] if new is None else found[1] + new + found[5]

    text = MARK.sub(replace, page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


def help_of(words: list[str]) -> str:
    """The help of a verb, at the width of the pages."""
    os.environ["COLUMNS"] = WIDTH
    environment = {**os.environ, "COLUMNS": WIDTH, "NO_COLOR": "1"}
    call = [sys.executable, "-m", "goodpart", *words, "--help"]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def subverbs(verb: str) -> list[str]:
    """The verbs of a group such as ``records``."""
    import importlib

    module = importlib.import_module(VERBS[verb][0])
    if not hasattr(module, "app"):
        return []
    group: Any = typer.main.get_command(module.app)
    return list(getattr(group, "commands", {}))


def commands_page() -> str:
    """``docs/commands.md``."""
    lines = [
        "# Commands",
        "",
        "Written by `tools/refresh_docs.py` from `goodpart VERB --help`. Every verb ends with",
        "status 0, with 2 and one line for anything a user got wrong, and with 130 after Ctrl-C.",
        "`--json` prints to standard output, `--json FILE.json` writes a file.",
        "",
    ]
    for verb in VERBS:
        lines += [f"## `{verb}`", "", "```text", help_of([verb]), "```", ""]
        for name in subverbs(verb):
            lines += [f"### `{verb} {name}`", "", "```text", help_of([verb, name]), "```", ""]
    return "\n".join(lines)


def main() -> None:
    """Refresh every page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=["help"], help="leave the output of commands as it is")
    chosen = parser.parse_args()
    (ROOT / "docs" / "commands.md").write_text(commands_page(), encoding="utf-8")
    cache: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:

        def filled(page: Path, kind: str, text: str) -> str | None:
            if kind == "verbs":
                return verbs_table(korean=".ko." in page.name)
            if kind == "benchmark":
                return benchmark_table(text)
            if chosen.only:
                return None
            return f"```text\n$ {text}\n{run(text, Path(scratch), cache)}\n```\n"

        pages = [ROOT / "README.md", ROOT / "README.ko.md", *sorted(ROOT.glob("docs/*.md"))]
        for page in pages:
            fill(page, filled)


if __name__ == "__main__":
    main()
