"""`python -m benchmarks fusion [--json] [--quick] [--only PART] [--models TARGET SOURCE]`"""

import importlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from benchmarks.measure import MODELS, Case, Row

ROOMS = {"fusion": ("vocabulary", "alignment", "extraction", "objective")}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("room", type=click.Choice(sorted(ROOMS)))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--quick", is_flag=True, help="Small sizes, one round: to see that it runs, not to quote.")
@click.option("--only", multiple=True, help="Parts of the room, such as objective.")
@click.option("--models", multiple=True, type=click.Path(exists=True), help="Real models, target first.")
def main(room: str, as_json: bool, quick: bool, only: tuple[str, ...], models: tuple[str, ...]) -> None:
    """Time each step of ROOM against a straightforward implementation in the same run."""
    if models:
        os.environ[MODELS] = os.pathsep.join(models)
    rows = []
    for case in _cases(room, quick, only):
        rows.append(case())
        click.echo(f"{rows[-1].case}: {rows[-1].ratio:.2f}x", err=True)
    if as_json:
        click.echo(json.dumps({"machine": machine(), "rows": [_as_json(r) for r in rows]}, indent=1))
    else:
        Console().print(_table(rows))


def _cases(room: str, quick: bool, only: tuple[str, ...]) -> Iterator[Case]:
    unknown = set(only) - set(ROOMS[room])
    if unknown:
        raise click.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(ROOMS[room])}")
    for part in ROOMS[room]:
        if not only or part in only:
            yield from importlib.import_module(f"benchmarks.{part}").cases(quick)


def machine() -> dict[str, str | int | None]:
    """What the figures were measured on."""
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
    }


def _as_json(row: Row) -> dict[str, object]:
    return {**asdict(row), "extra": dict(row.extra), "ratio": round(row.ratio, 3)}


def _table(rows: list[Row]) -> Table:
    table = Table("step", "ours, s", "reference, s", "ratio", "asked for", "also counted")
    for row in rows:
        counted = ", ".join(
            f"{name} {value:,.4g}" if isinstance(value, float | int) else f"{name} {value}"
            for name, value in row.extra.items()
        )
        table.add_row(
            f"{row.case}\n{row.ours} against {row.reference}",
            f"{row.seconds:.4g}",
            f"{row.reference_seconds:.4g}",
            f"{row.ratio:.2f}x",
            row.bar,
            counted,
        )
    return table


if __name__ == "__main__":
    main()
