"""The goodpart command and its verbs."""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from goodpart import __version__
from goodpart.errors import GoodpartError

# verb: (module, one-line help). A module is imported only when its verb is used or its own help
# is asked for, so that `goodpart --help` stays fast.
VERBS: dict[str, tuple[str, str]] = {
    "demo": ("goodpart.cli.demo", "The whole story on rendered caps, with a report."),
    "stats": ("goodpart.cli.stats", "Count images; find duplicates, leaks and odd ones."),
    "prepare": ("goodpart.cli.prepare", "Trays to aligned part images."),
    "augment": ("goodpart.cli.augment", "Write turned and noisy copies of training images."),
    "synthesize": ("goodpart.cli.synthesize", "Draw new good parts with a trained generator."),
    "train": ("goodpart.cli.train", "Learn from good images and set the limits."),
    "evaluate": ("goodpart.cli.evaluate", "Measure a model on test images; write report.html."),
    "predict": ("goodpart.cli.predict", "Judge images: verdict, score, heatmap, histogram."),
    "watch": ("goodpart.cli.watch", "The line: judge every image that arrives, once."),
    "info": ("goodpart.cli.info", "Show a model: layers, recipe, limits, provenance."),
    "limits": ("goodpart.cli.limits", "Show the limits and their cost; set them again."),
    "learn": ("goodpart.cli.learn", "Add good images to a model in seconds."),
    "tune": ("goodpart.cli.tune", "Compare presets and hyperparameters: table, chart."),
    "bench": ("goodpart.cli.bench", "Time a model and its memory on this machine."),
    "export": ("goodpart.cli.export", "One ONNX file that runs outside goodpart."),
    "records": ("goodpart.cli.records", "List, count, export and prune what was recorded."),
    "review": ("goodpart.cli.review", "Record a person's verdict on a part."),
    "audit": ("goodpart.cli.audit", "Check and list the audit trail."),
}


class LazyGroup(TyperGroup):
    """A command group that imports a verb's module when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command behind a verb: the module's ``app`` (a group), or its ``command``."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(VERBS[cmd_name][0])
        if hasattr(module, "app"):
            group: Any = typer.main.get_command(module.app)
            group.name = cmd_name
            return group
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(cmd_name)(module.command)
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the verbs without importing their modules."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As click does, with one line for an unknown verb."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise GoodpartError(f"no verb is called {args[0]!r}; see: goodpart --help")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode=None, no_args_is_help=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"goodpart {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say it.")
    ] = False,
) -> None:
    """Learns what a good part looks like from a hundred images and finds the rest.

    Example: goodpart demo
    """


def _expand_json(arguments: list[str]) -> list[str]:
    """``--json`` without a file means standard output (click has no optional values)."""
    expanded = []
    for place, argument in enumerate(arguments):
        expanded.append(argument)
        if argument == "--json":
            following = arguments[place + 1 : place + 2]
            if not following or not re.search(r"(^-$|\.json$)", following[0]):
                expanded.append("-")
    return expanded


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the exit status is 2 for anything the user got wrong."""
    # numpy's matrices here are small: further threads bring little, and on a busy machine they
    # wait for each other. Read once, when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ.get("GOODPART_THREADS", "1"))
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command: Any = typer.main.get_command(app)
        status = command.main(_expand_json(given), prog_name="goodpart", standalone_mode=False)
    except GoodpartError as error:
        _fail(str(error), 2)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        place = f"{context.command_path}: " if context else ""
        _fail(f"{place}{error.format_message()} (see --help)", 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped by Ctrl-C", 130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; there is nobody to tell
        sys.exit(1)
    else:
        sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    print(f"goodpart: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
