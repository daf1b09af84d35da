"""JUnit XML of a check, valid by Jenkins' schema and readable by GitHub and GitLab.

One suite with a case per benchmark and per capability. Regressions are failures, reasons why the check was
not possible are errors, benchmarks that were not judged are skipped.
"""

import re
from xml.etree import ElementTree

from harness.regression.ci.findings import Case, Findings

SUITE = "fusegauge.check"
_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0, 2.2
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_ELEMENTS = {"regressed": "failure", "error": "error", "skipped": "skipped"}


def junit_xml(findings: Findings) -> str:
    """The complete document with its XML declaration."""
    counts = {
        "tests": str(len(findings.cases)),
        "failures": str(len(findings.with_state("regressed"))),
        "errors": str(len(findings.with_state("error"))),
    }
    root = ElementTree.Element("testsuites", {"name": "fusegauge", **counts})
    skipped = {"skipped": str(len(findings.with_state("skipped")))}
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, **counts, **skipped})
    for case in findings.cases:
        suite.append(_case(case))
    ElementTree.SubElement(suite, "system-out").text = _legal("\n".join([findings.headline, *findings.notes]))
    ElementTree.indent(root)
    return _DECLARATION + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(case: Case) -> ElementTree.Element:
    names = {"classname": f"{SUITE}.{case.kind}", "name": _legal(case.name)}
    element = ElementTree.Element("testcase", names)
    kind = _ELEMENTS.get(case.state)
    if kind == "skipped":
        ElementTree.SubElement(element, kind, {"message": _legal(case.message)})
    elif kind:
        found = ElementTree.SubElement(element, kind, {"message": _legal(case.message), "type": case.state})
        found.text = _legal(case.message)
    else:
        ElementTree.SubElement(element, "system-out").text = _legal(case.message)
    return element


def _legal(text: str) -> str:
    """The text with characters that XML forbids, even escaped, replaced by U+FFFD."""
    return _ILLEGAL.sub("�", text)
