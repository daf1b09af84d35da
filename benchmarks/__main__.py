"""The command `python -m benchmarks ROOM`: options, JSON and the table of results."""

import importlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine, now, versions
from benchmarks.measure import Row

ROOMS = {
    "fusion": ("vocabulary", "alignment", "chain", "extraction", "objective"),
    "sandbox": ("sandbox",),
    "scoring": ("scoring",),
    "tracking": ("tracking",),
}
WIDTH = 180  # of a table that is not printed on a terminal
READING = {
    "seconds, reference_seconds": "CPU seconds of ours and of the reference, minimum over the rounds; wall "
    "clock where the case says so",
    "time_ratio": "reference_seconds / seconds: above 1, ours is faster",
    "extra_peak_mib, reference_extra_peak_mib": "peak of the resident set minus its size before, each in "
    "a fresh process; null where not measured",
    "memory_ratio": "reference_extra_peak_mib / extra_peak_mib: above 1, ours uses less",
    "bar, met, bars": "the project's requirements, and whether all are met; null without requirements",
    "outputs_agree": "whether ours and the reference gave the same output; null where they compute different "
    "things",
    "counted": "other figures, by name with their unit",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("room", type=click.Choice(sorted(ROOMS)))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--quick", is_flag=True, help="Tiny sizes, no memory, no bars: to check that it runs.")
@click.option("--only", multiple=True, help="A part of the room, such as objective; repeatable.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a real model to measure as well; repeatable: first the target, then sources.",
)
@click.option(
    "--mirror",
    envvar="FUSEGAUGE_MIRROR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Local mirror of the hub, for `sandbox` and `scoring`; without it, data comes from the hub.",
)
def main(
    room: str,
    as_json: bool,
    quick: bool,
    only: tuple[str, ...],
    models: tuple[Path, ...],
    mirror: Path | None,
) -> None:
    """Time each step of ROOM against a straightforward implementation in the same run."""
    date, started = now(), time.perf_counter()
    rows = []
    for row in _rows(_parts(room, only), quick, models, mirror):
        rows.append(row)
        click.echo(f"{time.perf_counter() - started:5.0f} s  {_progress(row)}", err=True)
    if as_json:
        settings = {"room": room, "quick": quick, "only": list(only), "models": [m.name for m in models]}
        click.echo(json.dumps(_report(date, time.perf_counter() - started, settings, rows), indent=1))
    else:
        Console(width=max(Console().width, WIDTH)).print(_table(rows))


def _parts(room: str, only: tuple[str, ...]) -> list[str]:
    unknown = set(only) - set(ROOMS[room])
    if unknown:
        raise click.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(ROOMS[room])}")
    return [part for part in ROOMS[room] if not only or part in only]


def _rows(parts: list[str], quick: bool, models: Sequence[Path], mirror: Path | None) -> Iterator[Row]:
    for part in parts:
        module = importlib.import_module(f"benchmarks.{part}")
        inputs = {"mirror": mirror} if part in ("sandbox", "scoring") else {}
        yield from module.cases(quick, models, **inputs)


def _progress(row: Row) -> str:
    memory = "" if row.memory_ratio is None else f", {row.memory_ratio:.2f}x less memory"
    return f"{row.case}: {row.ours} against {row.reference}: {row.time_ratio:.2f}x as fast{memory}"


def _report(
    date: str, wall_seconds: float, settings: dict[str, object], rows: list[Row]
) -> dict[str, object]:
    return {
        "date": date,
        "wall_seconds": round(wall_seconds, 1),
        "settings": settings,
        "machine": machine(),
        "versions": versions(),
        "reading": READING,
        "rows": [_as_json(row) for row in rows],
    }


def _as_json(row: Row) -> dict[str, object]:
    bars = [asdict(bar) | {"met": bar.met} for bar in row.bars]
    return {
        **asdict(row),
        "time_ratio": round(row.time_ratio, 4),
        "memory_ratio": None if row.memory_ratio is None else round(row.memory_ratio, 4),
        "bar": "; ".join(bar.asked for bar in row.bars) or "none",
        "met": all(bar.met for bar in row.bars) if row.bars else None,
        "bars": bars,
    }


def _table(rows: list[Row]) -> Table:
    """Ratios are reference / ours: above 1, ours is better."""
    table = Table("step", "CPU s", "speed-up", "extra peak MiB", "less memory", "required", "other figures")
    for row in rows:
        agree = {None: {}, True: {"same output": "yes"}, False: {"same output": "NO"}}[row.outputs_agree]
        table.add_row(
            f"{row.case}\n{row.ours}\nagainst {row.reference}",
            f"{row.seconds:.4g}\nagainst {row.reference_seconds:.4g}",
            f"{row.time_ratio:.2f}x",
            _against(row.extra_peak_mib, row.reference_extra_peak_mib),
            "" if row.memory_ratio is None else f"{row.memory_ratio:.2f}x",
            "\n".join(map(str, row.bars)) or "none",
            "\n".join(f"{name} {_number(value)}" for name, value in (agree | dict(row.counted)).items()),
        )
    return table


def _against(ours: float | None, reference: float | None) -> str:
    return "" if ours is None or reference is None else f"{ours:,.0f}\nagainst {reference:,.0f}"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.4g}"


if __name__ == "__main__":
    main()
