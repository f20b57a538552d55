"""``goodpart audit``: check and list the audit trail."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from goodpart.cli.common import console, progress_bar, write_json
from goodpart.cli.records import Database, Json, open_records, printable
from goodpart.errors import GoodpartError

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def root() -> None:
    """The audit trail: who did what, each entry chained to the one before by a hash.

    Example: goodpart audit verify
    """


@app.command("verify")
def verify(
    database: Database = None,
    expect: Annotated[
        str | None, typer.Option(help="A hash noted earlier; it must still be in the trail.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Check that nothing was altered, removed or inserted; the exit status is 1 where it was.

    Note the hash that it prints somewhere else, and give it to --expect later: so entries
    removed from the end show as well.

    Example: goodpart audit verify --database sqlite:///goodpart.db
    """
    if expect is not None:
        expect = expect.strip().lower()
        if not re.fullmatch(r"[0-9a-f]{64}", expect):
            raise GoodpartError("--expect: a hash has 64 digits 0-9 a-f; audit verify prints it")
    with open_records(database) as records, progress_bar() as progress:
        report = records.verify(expect=expect, progress=progress)
    if json_file is not None:
        write_json(report.to_dict(), json_file)
    else:
        say = console()
        for problem in report.problems:
            say.print(printable(problem.message), markup=False)
        covered = f"{report.inspections} inspections, {report.reviews} reviews"
        if report.intact:
            say.print(f"intact: {report.entries} entries, {covered}")
        else:
            say.print(f"NOT intact: {len(report.problems)} problems in {report.entries} entries")
        say.print(f"head: {report.head}")
    if not report.intact:
        raise typer.Exit(1)


@app.command("list")
def list_events(
    database: Database = None,
    kind: Annotated[
        str | None, typer.Option(help="Only these: inspected, reviewed, pruned, exported, ...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    before: Annotated[
        int | None, typer.Option(help="Those before the entry of this number.")
    ] = None,
    json_file: Json = None,
) -> None:
    """List entries of the audit trail, newest first.

    Example: goodpart audit list --kind reviewed
    """
    with open_records(database) as records:
        events = records.events(kind=kind, limit=limit, before=before)
    if json_file is not None:
        write_json([event.to_dict() for event in events], json_file)
        return
    say = console()
    for event in events:
        at = event.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        who = event.actor or event.station
        line = f"{event.seq:>8}  {at}  {event.kind:<12} {who}  {event.subject or ''}"
        say.print(printable(line), markup=False)
