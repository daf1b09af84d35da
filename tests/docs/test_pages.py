"""Pages that follow from the program are up to date, and pages name files that exist."""

import re
from pathlib import Path

import pytest

import harness
from docs.architecture import NEVER, floors, picture
from docs.generated import END, PAGES, START, generated

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(p.parent.relative_to(ROOT).as_posix() for p in ROOT.glob("harness/**/__init__.py"))
WRITTEN = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/**/*.md")]
FOLDERS = "benchmarks|docs|fusion|harness|suites|tests"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_generated_page_is_up_to_date(page: Path) -> None:
    assert _without_sizes(page.read_text()) == _without_sizes(generated(page)), "run: python -m docs"


def _without_sizes(text: str) -> str:
    """Without the column of lines: not every edit makes the page stale."""
    return re.sub(r"\| [\d,]+ \|$", "|", text, flags=re.MULTILINE)


def test_what_is_written_by_hand_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{START}old\n{END}below\n")
    monkeypatch.setitem(PAGES, page, lambda: "new\n")
    assert generated(page) == f"above\n{START}new\n{END}below\n"
    page.write_text("above\n")
    with pytest.raises(ValueError, match="needs the lines"):
        generated(page)


def test_an_import_that_another_way_leads_to_is_not_drawn_but_for_those_of_the_library() -> None:
    imports = {"a": {"b", "c", "fusion"}, "b": {"c"}, "c": {"fusion"}, "fusion": set()}
    drawn = picture([["a"], ["b", "c"], ["fusion"]], {room: frozenset(o) for room, o in imports.items()})
    arrows = [line.strip() for line in drawn.splitlines() if "-->" in line]
    assert arrows == ["a --> b", "a --> fusion", "b --> c", "c --> fusion"]


@pytest.mark.parametrize("package", [*PACKAGES[1:], "fusion"])
def test_a_package_says_what_is_in_it_and_what_must_never_be(package: str) -> None:
    text = (ROOT / package / "__init__.py").read_text()
    assert re.match(r'"""\S.{20,}', text)
    assert f"\n{NEVER} " in text


def test_the_map_in_harness_names_every_room() -> None:
    rooms = [room for floor in floors() for room in floor if room not in ("fusion", "__main__")]
    named = re.findall(r"^    (\w+)  ", harness.__doc__ or "", flags=re.MULTILINE)
    assert sorted(named) == sorted(rooms)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_page_names_files_that_exist(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(rf"(?<![\w/.<>-])((?:{FOLDERS})/[\w/.-]*\.(?:md|py|yaml|json|toml))\b", text))
    linked = {link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) if not link.startswith("/")}
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", [*WRITTEN, *ROOT.glob(".github/workflows/*.yml")], ids=lambda p: p.name)
def test_a_page_names_make_targets_that_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    commands = re.findall(
        r"(?:`|^    |run: )make ((?: ?[a-z]+)+)(?=`|  |$)", page.read_text(), flags=re.MULTILINE
    )
    assert {target for command in commands for target in command.split()} <= targets
