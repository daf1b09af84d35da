"""What a CI system is told of a check: files in the form that it reads, lines that it cannot misread."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from harness import commands
from harness.core.exceptions import NotComparableError
from harness.regression.baseline import save_baseline
from harness.regression.check import RegressionVerdict, check
from harness.regression.ci import Findings, Places, findings_of, findings_of_error, publish
from harness.regression.ci.annotations import SHOWN, annotations, command
from harness.regression.ci.findings import Case
from harness.regression.ci.junit import junit_xml
from harness.regression.ci.summary import markdown
from tests.harness.sample_run import BENCHMARKS, sample_run

SCHEMA = Path(__file__).with_name("junit.xsd")
TEXT = st.text(st.characters(codec=None))  # control characters and lone surrogates too


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run without `materials`, which is therefore not judged."""
    folder = tmp_path_factory.mktemp("baseline")
    save_baseline(sample_run(folder), folder, folder / "b.json")
    content = json.loads((folder / "b.json").read_text())
    del content["benchmarks"]["materials"]
    (folder / "b.json").write_text(json.dumps(content))
    return folder / "b.json"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose fused model falls on capitals and gains on syllogisms."""
    accuracies = {"capitals": 0.40, "syllogisms": 0.97}
    folder = tmp_path_factory.mktemp("run")
    sample_run(folder, accuracies={b: (*BENCHMARKS[b][2][:4], fused) for b, fused in accuracies.items()})
    return folder


@pytest.fixture(scope="module")
def verdict(run_folder: Path, baseline: Path) -> RegressionVerdict:
    from harness.core.run_files import read_run

    return check(read_run(run_folder), run_folder, baseline)


@pytest.fixture
def findings(verdict: RegressionVerdict) -> Findings:
    return findings_of("sample-1", verdict)


def not_comparable() -> Findings:
    error = NotComparableError("not comparable with b:\n  - one, 50 %\n  - other", remedy="save again")
    return findings_of_error("sample-1", error)


class TestJunit:
    def test_a_case_per_benchmark_and_per_capability(self, findings: Findings) -> None:
        cases = ElementTree.fromstring(junit_xml(findings)).iter("testcase")
        found = {(c.get("classname"), c.get("name")): [child.tag for child in c] for c in cases}
        of = "fusegauge.check."
        assert found == {
            (f"{of}benchmark", "syllogisms"): ["system-out"],
            (f"{of}benchmark", "capitals"): ["failure"],
            (f"{of}benchmark", "small_functions"): ["system-out"],
            (f"{of}benchmark", "materials"): ["skipped"],
            (f"{of}capability", "reasoning"): ["system-out"],
            (f"{of}capability", "commonsense"): ["failure"],
            (f"{of}capability", "code"): ["system-out"],
        }

    def test_failures_carry_the_numbers_and_skipped_cases_their_reason(self, findings: Findings) -> None:
        root = ElementTree.fromstring(junit_xml(findings))
        failure = root.find(".//testcase[@name='capitals']/failure")
        assert failure is not None and "points" in failure.get("message", "")
        skipped = root.find(".//testcase[@name='materials']/skipped")
        assert skipped is not None and skipped.get("message") == "it is not in the baseline"

    @pytest.mark.parametrize("of", [lambda f: f, lambda _: not_comparable()])
    def test_it_is_valid_and_its_counts_are_those_of_its_cases(
        self, findings: Findings, of: Callable[[Findings], Findings]
    ) -> None:
        text = junit_xml(of(findings))
        assert _schema_errors(text) == []
        suite = ElementTree.fromstring(text)[0]
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(count) == str(len(list(suite.iter(tag))))
        assert suite.get("tests") == str(len(list(suite.iter("testcase"))))

    def test_the_schema_refuses_what_is_no_junit(self) -> None:
        assert _schema_errors("<testsuites><testcase name='a'/></testsuites>")

    @given(name=TEXT, message=TEXT)
    def test_any_text_gives_a_document(self, name: str, message: str) -> None:
        cases = (Case("check", name, "error", message), Case("benchmark", name, "skipped", message))
        text = junit_xml(Findings(name, message, cases, (message,)))
        assert _schema_errors(text) == []


def _schema_errors(text: str) -> list[str]:
    from lxml import etree  # type: ignore[import-untyped]

    schema = etree.XMLSchema(etree.parse(SCHEMA))
    schema.validate(etree.fromstring(text.encode()))
    return [str(error) for error in schema.error_log]


class TestAnnotations:
    def test_errors_for_what_regressed_a_warning_and_a_notice_for_the_rest(self, findings: Findings) -> None:
        error, warning, notice = annotations(findings)
        assert error.startswith("::error title=capitals regressed::capitals (acc_norm): ")
        assert warning == "::warning title=Not judged::materials: it is not in the baseline"
        assert notice.startswith("::notice title=Improved::syllogisms (acc): ")

    def test_reasons_are_errors(self) -> None:
        assert annotations(not_comparable()) == [
            "::error title=Check not possible::one, 50 %25",
            "::error title=Check not possible::other",
        ]

    def test_escaping_is_that_of_githubs_toolkit(self) -> None:
        assert command("error", "a:b,c%\n", "50 %\r\nx: y, z") == (
            "::error title=a%3Ab%2Cc%25%0A::50 %25%0D%0Ax: y, z"
        )

    @given(title=TEXT, message=TEXT)
    def test_no_text_ends_a_command_or_starts_another(self, title: str, message: str) -> None:
        line = command("error", title, message)
        assert "\n" not in line and "\r" not in line
        assert line.index("::", 2) == len("::error title=") + len(command("e", title, "")) - len(
            "::e title=::"
        )

    def test_more_than_github_shows_are_counted(self) -> None:
        cases = tuple(Case("check", str(i), "error", str(i)) for i in range(SHOWN + 3))
        lines = annotations(Findings("r", "h", cases))
        assert len(lines) == SHOWN
        assert lines[-1].endswith("4 more, listed in the step's summary")


class TestMarkdown:
    def test_the_sentence_then_a_line_per_row(self, findings: Findings, verdict: RegressionVerdict) -> None:
        text = markdown(findings)
        assert verdict.sentence.replace("_", r"\_") in text
        assert "| **regressed**: fell" in text and "| **improved** |" in text
        assert "- materials: not judged: it is not in the baseline" in text
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        assert {line.count("|") for line in rows} == {9}

    def test_names_cannot_break_the_table(self, findings: Findings) -> None:
        (case, *_) = findings.cases
        wild = replace(findings, cases=(replace(case, name="a|b\nc<script>"),))
        (row,) = [line for line in markdown(wild).splitlines() if "script" in line]
        assert r"a\|b c\<script\>" in row


class TestPublish:
    def test_nothing_is_written_that_was_not_asked_for(
        self, findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
        assert publish(findings, Places()) == []
        assert not list(tmp_path.iterdir())

    def test_the_step_summary_is_added_to(
        self, findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "summary").write_text("before\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
        assert publish(findings, Places(github=True)) == annotations(findings)
        assert (tmp_path / "summary").read_text() == "before\n" + markdown(findings)

    def test_without_a_step_summary_the_annotations_remain(
        self, findings: Findings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        assert publish(findings, Places(github=True)) == annotations(findings)


class TestCommand:
    """Exit codes and files, as CI calls it; the sample's folder stands for a run."""

    @staticmethod
    def call(folder: Path, baseline: Path, *options: str | Path) -> Result:
        arguments = ["check", folder, "--baseline", baseline, "--results", folder, *options]
        return CliRunner().invoke(commands.main, [str(a) for a in arguments])

    def test_a_regression_is_1_and_every_file_says_it(
        self, run_folder: Path, baseline: Path, tmp_path: Path
    ) -> None:
        junit, summary = tmp_path / "made" / "j.xml", tmp_path / "made" / "s.md"
        done = self.call(run_folder, baseline, "--junit", junit, "--markdown", summary, "--github")
        assert done.exit_code == 1
        assert "Regressed: capitals" in done.stdout
        assert "::error title=capitals regressed::" in done.stdout
        assert "<failure" in junit.read_text() and "**regressed**" in summary.read_text()

    def test_a_tolerance_on_the_command_line_goes_before_the_suites(
        self, run_folder: Path, baseline: Path
    ) -> None:
        assert self.call(run_folder, baseline, "--tolerance", "60").exit_code == 0
        assert (
            self.call(run_folder, baseline, "--tolerance", "60", "--tolerance", "capitals=1").exit_code == 1
        )
        wrong = self.call(run_folder, baseline, "--tolerance", "capitols=1")
        assert wrong.exit_code == 2 and "did you mean 'capitals'" in wrong.stderr

    def test_json_stays_json_beside_annotations(self, run_folder: Path, baseline: Path) -> None:
        done = self.call(run_folder, baseline, "--json", "--github")
        assert json.loads(done.stdout)["exit_code"] == 1
        assert "::error" in done.stderr

    def test_what_cannot_be_compared_is_3_and_published(self, baseline: Path, tmp_path: Path) -> None:
        sample_run(tmp_path / "r", items=30)
        done = self.call(tmp_path / "r", baseline, "--junit", tmp_path / "j.xml")
        assert done.exit_code == 3
        assert "capitals: task, data, few-shot or seed differ" in (tmp_path / "j.xml").read_text()

    def test_what_is_unfinished_is_4_whether_it_lacks_items_or_its_record(
        self, baseline: Path, tmp_path: Path
    ) -> None:
        sample_run(tmp_path / "r")
        (tmp_path / "r" / "items" / "capitals" / "fused.parquet").unlink()
        assert self.call(tmp_path / "r", baseline).exit_code == 4
        (tmp_path / "r" / "run.json").unlink()
        assert self.call(tmp_path / "r", baseline).exit_code == 4

    def test_a_baseline_that_is_not_there_is_2(self, run_folder: Path, tmp_path: Path) -> None:
        assert self.call(run_folder, tmp_path / "none.json").exit_code == 2
