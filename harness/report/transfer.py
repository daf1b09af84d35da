"""Table cells on how much of each source was transferred to the target, for HTML and Markdown."""

from collections.abc import Iterator

from fusion.function_rules import FUSION_FUNCTIONS, FunctionRule
from harness.core.formats import number
from harness.core.record import RunRecord

COVERAGE = {  # key of a record's coverage -> heading
    "positions": "positions kept",
    "mass": "mass kept",
    "agreement": "next token agrees",
    "next_token": "mass on the ground-truth token",
    "by_offsets": "windows by character offsets",
}


def transfer_cells(record: RunRecord) -> tuple[list[str], list[list[str]]]:
    """(headings, rows): per source, in total and by corpus part; no rows where nothing was counted."""
    names = dict.fromkeys((*record.coverage, *record.attribution))
    columns = [c for c in COVERAGE if any(c in values for values in record.coverage.values())]
    rows = [row for name in names for row in _rows(record, name, columns)]
    rule = FUSION_FUNCTIONS.get(str(record.suite.get("fusion", {}).get("function")))
    attributed = rule.attributed if rule else FunctionRule.attributed
    return ["source", "corpus", *(COVERAGE[c] for c in columns), attributed], rows


def _rows(record: RunRecord, name: str, columns: list[str]) -> Iterator[list[str]]:
    coverage, by_part = record.coverage.get(name, {}), record.attribution_by_part
    own = {key.partition(".")[2] for key in coverage if "." in key}
    yield [name, "all", *(percent(coverage.get(c)) for c in columns), percent(record.attribution.get(name))]
    for part in sorted(own | by_part.keys()):
        shares = [percent(coverage.get(f"{c}.{part}")) for c in columns]
        yield ["", part, *shares, percent(by_part.get(part, {}).get(name))]


def percent(value: float | None) -> str:
    return "–" if value is None else f"{number(value)} %"
