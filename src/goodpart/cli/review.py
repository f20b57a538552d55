"""``goodpart review``: a person's verdict on an inspection."""

from __future__ import annotations

from typing import Annotated

import typer

from goodpart.cli.common import console, write_json
from goodpart.cli.records import Database, Json, open_records, user


def command(
    inspection: Annotated[str, typer.Argument(help="The inspection's id.")],
    verdict: Annotated[str, typer.Argument(help="OK or NG.")],
    database: Database = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who judges; default: the user logged in.")
    ] = None,
    defect: Annotated[str | None, typer.Option(help="Kind of defect.")] = None,
    note: Annotated[str | None, typer.Option(help="A remark.")] = None,
    json_file: Json = None,
) -> None:
    """Record a person's verdict on a part; the inspection itself stays as it is.

    Example: goodpart review 0f8fad5bd9cb469fa16570867728950e NG --defect stain --reviewer kim
    """
    with open_records(database) as records:
        review = records.review(
            inspection,
            verdict.upper(),
            reviewer=user() if reviewer is None else reviewer,
            defect=defect,
            note=note,
        )
    if json_file is not None:
        write_json({"inspection": inspection, **review.to_dict()}, json_file)
    else:
        say = console()
        say.print(f"{inspection}: reviewed {review.verdict} by {review.reviewer}", markup=False)
