"""Self-test of each language: a right program must pass in the sandbox and a wrong one must not.

The programs use the same libraries as the benchmarks' tests.
"""

from harness.core.exceptions import InputError
from harness.sandbox.backends.base import Backend
from harness.sandbox.languages.programs import Program, judge_programs
from harness.sandbox.languages.table import language_named
from harness.sandbox.program_verdict import ProgramVerdict

_JAVA = "import org.javatuples.*;\nclass Trial {\n    static int add(int a, int b) { return a + b; }\n"
_CSHARP = (
    "using System;\nusing KellermanSoftware.CompareNetObjects;\n"
    "namespace Solution\n{\n    class Trial\n    {\n"
    "        static int Add(int a, int b) { return a + b; }\n"
)
_GO = "func add(a int, b int) int { return a + b }\n"
_NODE = "function add(a, b) { return a + b }\n"

# candidate and tests; SUM is replaced by the expected value of 1 + 1
_TRIALS = {
    "python": ("def add(a, b):\n    return a + b\n", "assert add(1, 1) == SUM\n"),
    "cpp": (
        "#include <bits/stdc++.h>\n#include <assert.h>\nint add(int a, int b) { return a + b; }\n",
        "int main() {\n    assert(add(1, 1) == SUM);\n}\n",
    ),
    "go": (f"package main\n{_GO}", 'func main() {\n\tif add(1, 1) != SUM {\n\t\tpanic("")\n\t}\n}\n'),
    "go_test": (
        f'package trial_test\nimport "testing"\n{_GO}',
        'func TestAdd(t *testing.T) {\n\tif add(1, 1) != SUM {\n\t\tt.Errorf("")\n\t}\n}\n',
    ),
    "java": (
        _JAVA,
        "    public static void main(String[] a) {\n"
        "        assert Pair.with(add(1, 1), 0).getValue0() == SUM;\n    }\n}\n",
    ),
    "javascript": (_NODE, 'if (!require("lodash").isEqual([add(1, 1)], [SUM])) throw 1\n'),
    "typescript": (
        "const add = (a: number, b: number): number => a + b\n",
        "import * as assert from 'assert'\nassert.deepEqual([add(1, 1)], [SUM])\n",
    ),
    "php": (
        "<?php\nfunction add($a, $b) { return $a + $b; }\n",
        "if (add(1, 1) !== SUM) { throw new Exception(); }\n",
    ),
    "r": ("add <- function(a, b) { a + b }\n", "stopifnot(isTRUE(all.equal(add(1, 1), SUM)))\n"),
    "ruby": (
        "def add(a, b)\n  a + b\nend\n",
        "require 'test/unit'\nclass Trial < Test::Unit::TestCase\n"
        "  def test_add\n    assert_equal(SUM, add(1, 1))\n  end\nend\n",
    ),
    "rust": (
        "fn add(a: i32, b: i32) -> i32 { a + b }\n",
        "fn main() {\n    assert_eq!(add(1, 1), SUM);\n}\n",
    ),
    "csharp": (
        _CSHARP,
        "        static void Main()\n        {\n"
        "            if (!new CompareLogic().Compare(Add(1, 1), SUM).AreEqual) throw new Exception();\n"
        "        }\n    }\n}\n",
    ),
    "perl": (
        "sub add { my ($a, $b) = @_; return $a + $b; }\n",
        "use Test::Deep;\nuse Data::Compare;\n"
        "exit 1 unless eq_deeply([add(1, 1)], [SUM]) && Compare([add(1, 1)], [SUM]);\n",
    ),
}


def trial(language: str, total: int) -> Program:
    """The program that tests whether 1 + 1 equals `total`."""
    candidate, tests = _TRIALS[language]
    return Program(language, candidate, tests.replace("SUM", str(total)))


def flaw(language: str, backend: Backend | None = None) -> str:
    """Reason why a language's right or wrong program is misjudged in the sandbox; "" if neither is.

    Raises:
        InputError: no sandbox works here, or the toolchain is missing.
    """
    right, wrong = judge_programs([trial(language, 2), trial(language, 3)], backend)
    if not right.passed:
        return f"a right program does not pass: {_last_line(right)}"
    if wrong.passed or not wrong.compiled:
        return f"a wrong program {'passes' if wrong.passed else 'does not compile'}: {_last_line(wrong)}"
    return ""


def require_trial(language: str, backend: Backend) -> None:
    """Check a language before programs in it are generated, since wrong verdicts would waste that work.

    Verdicts are cached, so the check runs only once per process.

    Raises:
        InputError: the right or the wrong program gets the wrong verdict; the message gives the reason.
    """
    if found := flaw(language, backend):
        raise InputError(
            f"programs in {language_named(language).title} cannot be judged here ({backend.name}): {found}",
            remedy="see `fusegauge doctor --prove`; repair the toolchain, or leave the benchmarks out",
        )


def _last_line(verdict: ProgramVerdict) -> str:
    return next(iter(reversed(verdict.detail.splitlines())), str(verdict.ruling))
