"""``goodpart records``: list, show, count, export and prune what was recorded."""

from __future__ import annotations

import dataclasses
import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, progress_bar, write_json
from goodpart.errors import GoodpartError

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

COLORS = {"OK": "green", "NG": "red", "CHECK": "yellow", "NOT_JUDGED": "magenta"}

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="GOODPART_DATABASE",
        help="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME; default sqlite:///goodpart.db.",
        show_envvar=True,
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder of the image store; default: beside the SQLite file."),
]
Json = Annotated[
    Path | None, typer.Option("--json", help="Write the answer as JSON (alone: to stdout).")
]
Since = Annotated[str | None, typer.Option(help="Taken at or after: 2026-03-01, or 7d (ago).")]
Until = Annotated[str | None, typer.Option(help="Taken before.")]
Verdicts = Annotated[
    list[str] | None, typer.Option("--verdict", help="OK, NG, CHECK or NOT_JUDGED; may repeat.")
]
Lot = Annotated[str | None, typer.Option(help="Exactly this lot.")]
Station = Annotated[str | None, typer.Option(help="Exactly this station.")]
ModelId = Annotated[str | None, typer.Option("--model", help="Start of the model's id.")]
Part = Annotated[str | None, typer.Option(help="Occurs in the part's or the file's name.")]
Reviewed = Annotated[
    bool | None, typer.Option("--reviewed/--not-reviewed", help="With or without a review.")
]


@app.callback()
def root() -> None:
    """What was recorded: list it, show it, count it, export it, prune its pictures.

    Example: goodpart records list --verdict NG --since 7d
    """


def open_records(database: str | None, images: Path | None = None) -> Any:
    """Records that exist; reading never creates a database."""
    from goodpart.records import Records

    return Records.open(database, images=images, create=False)


def user() -> str:
    """Who is logged in, for the audit trail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return "unknown"


def printable(text: str) -> str:
    """Names come from outside: what would steer a terminal is shown as an escape."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _wanted(
    since: str | None,
    until: str | None,
    verdicts: list[str] | None,
    lot: str | None,
    station: str | None,
    model: str | None,
    part: str | None,
    reviewed: bool | None = None,
) -> Any:
    from goodpart.decision import Verdict
    from goodpart.records import Filter
    from goodpart.records.units import parse_moment

    known = {verdict.value for verdict in Verdict}
    chosen = [verdict.upper() for verdict in verdicts or []]
    for verdict in chosen:
        if verdict not in known:
            raise GoodpartError(f"--verdict {verdict}: there are {', '.join(sorted(known))}")
    return Filter(
        since=None if since is None else parse_moment(since),
        until=None if until is None else parse_moment(until),
        verdicts=tuple(chosen),
        lot=lot,
        station=station,
        model=model,
        part=part,
        reviewed=reviewed,
    )


@app.command("list")
def list_records(
    database: Database = None,
    since: Since = None,
    until: Until = None,
    verdict: Verdicts = None,
    lot: Lot = None,
    station: Station = None,
    model: ModelId = None,
    part: Part = None,
    reviewed: Reviewed = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    before: Annotated[
        int | None, typer.Option(help="The page after the record of this number.")
    ] = None,
    json_file: Json = None,
) -> None:
    """List records, newest first.

    Example: goodpart records list --verdict NG --lot A17 --since 7d
    """
    wanted = _wanted(since, until, verdict, lot, station, model, part, reviewed)
    with open_records(database) as records:
        found = records.find(wanted, limit=limit, before=before)
    if json_file is not None:
        write_json([record.to_dict() for record in found], json_file)
        return
    say = console()
    for record in found:
        say.print(_line(record))
    if len(found) == limit:
        say.print(f"older ones: --before {found[-1].number}")
    elif not found:
        say.print("no such records")


def _line(record: Any) -> Any:
    from rich.text import Text

    inspection = record.inspection
    word = inspection.verdict.value
    taken = inspection.taken_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    detail = inspection.reason or f"score {inspection.score:.4g}"
    if record.lot:
        detail += f"  lot {record.lot}"
    if record.review:
        detail += f"  reviewed {record.review.verdict} by {record.review.reviewer}"
    return Text.assemble(
        f"{record.number:>8}  {taken}  ",
        (f"{word:<10}", COLORS[word]),
        printable(f"  {inspection.part}  {detail}  {inspection.id}"),
    )


@app.command("show")
def show_record(
    inspection: Annotated[str, typer.Argument(help="The inspection's id.")],
    database: Database = None,
    images: Images = None,
    json_file: Json = None,
) -> None:
    """Show everything about one inspection.

    Example: goodpart records show 0f8fad5bd9cb469fa16570867728950e
    """
    with open_records(database, images) as records:
        record = records.get(inspection)
        if record is None:
            raise GoodpartError(f"{inspection}: no inspection has this id; see: records list")
        kept = {
            kind: str(records.images.path(name))
            for kind, name in (("image", record.image), ("heatmap", record.heatmap))
            if name is not None and records.images.path(name).exists()
        }
    answer = {**record.to_dict(), "files": kept}
    if json_file is not None:
        write_json(answer, json_file)
        return
    say = console()
    for key, value in answer.items():
        if value not in (None, [], {}):
            say.print(printable(f"{key:<14} {value}"), markup=False)


@app.command("stats")
def stats(
    database: Database = None,
    by: Annotated[str, typer.Option(help="day, lot, station, model or recipe.")] = "day",
    since: Since = None,
    until: Until = None,
    lot: Lot = None,
    station: Station = None,
    model: ModelId = None,
    json_file: Json = None,
) -> None:
    """Count verdicts by day, lot, station, model or recipe.

    Example: goodpart records stats --by lot --since 30d
    """
    wanted = _wanted(since, until, None, lot, station, model, None)
    with open_records(database) as records:
        counts = records.counts(wanted, by=by)
    if json_file is not None:
        write_json([count.to_dict() for count in counts], json_file)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(by, "total", "OK", "NG", "CHECK", "NOT_JUDGED", box=None)
    for count in counts:
        numbers = (count.total, count.ok, count.ng, count.check, count.not_judged)
        table.add_row(Text(printable(count.group or "-")), *map(str, numbers))
    console().print(table)


@app.command("export")
def export_records(
    target: Annotated[Path, typer.Argument(help="FILE.csv or FILE.parquet.")],
    database: Database = None,
    since: Since = None,
    until: Until = None,
    verdict: Verdicts = None,
    lot: Lot = None,
    station: Station = None,
    model: ModelId = None,
    part: Part = None,
    reviewed: Reviewed = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json_file: Json = None,
) -> None:
    """Export records to CSV or Parquet, oldest first.

    Example: goodpart records export march.csv --since 2026-03-01 --until 2026-04-01
    """
    from goodpart.progress import track
    from goodpart.records.export import check_target, export

    wanted = _wanted(since, until, verdict, lot, station, model, part, reviewed)
    check_target(target, force=force)
    with open_records(database) as records, progress_bar() as progress:
        total = sum(count.total for count in records.counts(wanted))
        chunks = track(records.stream(wanted), "exporting", -(-total // 500), progress)
        count = export(chunks, target)
        said = {key: str(value) for key, value in dataclasses.asdict(wanted).items() if value}
        records.add_event(
            "exported", actor=user(), subject=str(target), data={"records": count, "filter": said}
        )
    if json_file is not None:
        write_json({"file": str(target), "records": count}, json_file)
    else:
        console().print(f"{count} records written to {target}", markup=False)


@app.command("prune")
def prune(
    database: Database = None,
    images: Images = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Pictures older than, such as 90d.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option("--max-size", help="Then the oldest, down to, such as 50GB.")
    ] = None,
    include_ng: Annotated[
        bool,
        typer.Option(
            "--include-ng", help="Also those of NG, CHECK and reviewed parts and training images."
        ),
    ] = False,
    training: Annotated[
        Path | None,
        typer.Option(help="Folder of training images: note them, and spare their pictures."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json_file: Json = None,
) -> None:
    """Remove old pictures from the image store; records stay.

    Example: goodpart records prune --older-than 90d --max-size 50GB --dry-run
    """
    from goodpart.records.units import format_size, parse_age, parse_size

    age = None if older_than is None else parse_age(older_than)
    size = None if max_size is None else parse_size(max_size)
    with open_records(database, images) as records, progress_bar() as progress:
        if training is not None:
            records.add_training_images(_hashes(training))
        result = records.prune(
            older_than=age,
            max_size=size,
            include_ng=include_ng,
            dry_run=dry_run,
            actor=user(),
            progress=progress,
        )
    if json_file is not None:
        write_json(result.to_dict(), json_file)
        return
    word = "would be removed" if dry_run else "removed"
    say = console()
    say.print(f"{result.files} pictures ({format_size(result.bytes)}) {word}")
    say.print(f"{format_size(result.kept_bytes)} kept in {records.images.folder}", markup=False)
    if result.spared:
        say.print(f"{result.spared} old pictures spared: NG, CHECK, reviewed or training images")
    if result.unknown:
        say.print(f"{result.unknown} files belong to no record of this database: left alone")
    if size is not None and result.kept_bytes > size:
        say.print(f"still more than {format_size(size)}: the rest is spared or new")


def _hashes(folder: Path) -> list[str]:
    """SHA-256 of every image file below a folder."""
    import hashlib

    from goodpart.errors import DataError
    from goodpart.parts.read import SUFFIXES

    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            with open(path, "rb") as file:
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return found
