"""Programs that are wrong and pretend to be right, in the languages beyond Python: none passes."""

import pytest

from harness.sandbox import Ruling
from harness.sandbox.languages.programs import Program, judge_programs
from harness.sandbox.languages.self_test import trial
from tests.harness.sandbox.languages.machine import require

LEAVING = {  # ends well before the first test
    "cpp": "static int leave = (exit(0), 1);\n",
    "csharp": "",
    "go": 'import "os"\nfunc init() { os.Exit(0) }\n',
    "go_test": 'import "os"\nfunc init() { os.Exit(0) }\n',
    "java": "    static { System.exit(0); }\n",
    "javascript": "process.exit(0)\n",
    "perl": "exit 0;\n",
    "php": "exit(0);\n",
    "r": 'quit("no", 0)\n',
    "ruby": "exit 0\n",
    "rust": "",
    "typescript": "declare var process: any\nprocess.exit(0)\n",
}
INSIDE = {  # the function under test ends the program, for want of code outside of functions
    "csharp": ("return a + b;", "Environment.Exit(0); return 0;"),
    "rust": ("{ a + b }", "{ std::process::exit(0 * (a + b)) }"),
}
ECHOING = {  # prints its own source, which holds both halves of the proof, and ends well
    "javascript": 'console.log(require("fs").readFileSync(__filename, "utf8")); process.exit(0)\n',
    "perl": 'open(my $f, "<", $0); print <$f>; exit 0;\n',
    "php": "echo file_get_contents(__FILE__); exit(0);\n",
    "r": 'cat(readLines("main.R"), sep = "\\n"); quit("no", 0)\n',
    "ruby": "puts File.read(__FILE__); exit 0\n",
    "typescript": "declare var require: any; declare var __filename: any; declare var process: any\n"
    'console.log(require("fs").readFileSync(__filename, "utf8")); process.exit(0)\n',
}
ENDING = {  # the language's own way to say that the program stops here
    "perl": "__END__\n",
    "php": "__halt_compiler();\n",
    "ruby": "__END__\n",
}
LATE = {  # a failure that is turned into a success on the way out
    "javascript": 'process.on("exit", () => { process.exitCode = 0 })\n',
    "perl": "END { $? = 0 }\n",
    "php": "register_shutdown_function(function () { exit(0); });\n",
    "r": '.Last <- function() { quit("no", 0, FALSE) }\n',
    "ruby": "at_exit { exit!(0) }\n",
}
KINDS = {"leaving": LEAVING, "echoing": ECHOING, "ending": ENDING, "late": LATE}
CASES = [(kind, language) for kind, languages in KINDS.items() for language in languages]


def cheat(kind: str, language: str) -> Program:
    """A program whose tests do not hold, with the cheat behind the function under test."""
    program = trial(language, 3)
    candidate = program.candidate.replace(*INSIDE[language]) if language in INSIDE else program.candidate
    if language == "go":  # imports stand before everything else
        head, _, rest = candidate.partition("\n")
        return Program(language, f"{head}\n{KINDS[kind][language]}{rest}", program.tests)
    if language == "go_test":
        return Program(
            language,
            candidate.replace('import "testing"\n', f'import "testing"\n{LEAVING["go_test"]}'),
            program.tests,
        )
    return Program(language, candidate + KINDS[kind][language], program.tests)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "language"), CASES)
def test_a_cheat_compiles_and_fails(kind: str, language: str) -> None:
    """That it compiles shows that the cheat itself was tried."""
    require(language)
    [verdict] = judge_programs([cheat(kind, language)])
    assert verdict.compiled, verdict.detail
    assert verdict.ruling is Ruling.ERROR
