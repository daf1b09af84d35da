"""Wrong programs beyond Python that want to pass: they leave early, or print what they think is the proof."""

from pathlib import Path

from harness.sandbox.job import Bind, Job, Limits, Step
from harness.sandbox.languages.nonce import FIRST_HALF, SECOND_HALF
from tests.harness.sandbox.attack import Attack

_LIMITS = Limits(cpu_seconds=10, wall_seconds=20.0, memory_bytes=1 << 30, address_space=False, processes=128)
_JVM = ("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx256m", "-ea")
_HALVES = f'"{FIRST_HALF}" + "{SECOND_HALF}"'


def javascript(start: str, solution: str = "return 0") -> Job:
    """A program of Node that begins with `start`."""
    source = (
        f"{start}\nfunction solve(x) {{ {solution} }}\n"
        f'if (solve(2) !== 4) throw 1\nconsole.log("\\n" + {_HALVES})\n'
    )
    return Job(("node", "--max-old-space-size=256", "main.js"), {"main.js": source}, _LIMITS)


def perl(start: str, solution: str = "return 0") -> Job:
    halves = _HALVES.replace("+", ".")
    source = (
        f"{start}\nsub solve {{ my $x = shift; {solution} }}\n"
        f'die unless solve(2) == 4;\nprint "\\n", {halves}, "\\n";\n'
    )
    return Job(("perl", "main.pl"), {"main.pl": source}, _LIMITS)


def cpp(candidate: str) -> Job:
    """A program that is compiled, and whose source is then taken away."""
    source = (
        f"#include <bits/stdc++.h>\n#include <unistd.h>\n{candidate}\n"
        f'int main() {{ if (solve(2) != 4) return 1; puts("\\n{FIRST_HALF}" "{SECOND_HALF}"); }}\n'
    )
    compiler = Step(("g++", "main.cpp", "-o", "main"), _LIMITS, removes=("main.cpp",))
    return Job(("./main",), {"main.cpp": source}, _LIMITS, compile=compiler)


def java(candidate: str) -> Job:
    source = (
        f"class Main {{\n    {candidate}\n    public static void main(String[] a) {{\n"
        "        assert solve(2) == 4;\n"
        f'        System.out.println("\\n" + "{FIRST_HALF}".concat("{SECOND_HALF}"));\n    }}\n}}\n'
    )
    settings = tuple(map(Bind, sorted(Path("/etc").glob("java-*"))))
    return Job((*_JVM, "Main.java"), {"Main.java": source}, _LIMITS, settings)


RIGHT = {  # what passes, so that an attack which fails has failed for its own reason
    "JavaScript": javascript("", "return x * x"),
    "Perl": perl("", "return $x * $x"),
    "C++": cpp("int solve(int x) { return x * x; }"),
    "Java": java("static int solve(int x) { return x * x; }"),
}
_WRONG = {
    "JavaScript": {
        "process.exit(0)": javascript("process.exit(0)"),
        "a clean end on the way out": javascript("process.on('exit', () => process.reallyExit(0))"),
        "swallowing what is thrown": javascript("process.on('uncaughtException', () => process.exit(0))"),
        "echoing its source": javascript(
            "console.log(String(require('fs').readFileSync(__filename))); process.exit(0)"
        ),
        "printing words of success": javascript("console.log('passed\\n'.repeat(10)); process.exit(0)"),
    },
    "Perl": {
        "exit 0": perl("exit 0;"),
        "__END__": perl("__END__"),
        "a clean end in END": perl("END { $? = 0 }"),
        "echoing its source": perl("open F, $0; print <F>; exit 0;"),
    },
    "C++": {
        "exit(0) before main": cpp("int solve(int) { return 0; } static int leave = (exit(0), 0);"),
        "_exit(0)": cpp("int solve(int) { _exit(0); }"),
        "quick_exit(0)": cpp("int solve(int) { std::quick_exit(0); }"),
        "reading its source": cpp(
            "int solve(int) { std::cout << std::ifstream(__FILE__).rdbuf(); exit(0); }"
        ),
        "a clean end through abort": cpp(
            "int solve(int) { signal(SIGABRT, [](int) { _exit(0); }); abort(); }"
        ),
    },
    "Java": {
        "System.exit(0)": java("static int solve(int x) { System.exit(0); return 0; }"),
        "Runtime.halt(0)": java("static int solve(int x) { Runtime.getRuntime().halt(0); return 0; }"),
        "leaving when loaded": java("static { System.exit(0); }\n    static int solve(int x) { return 0; }"),
    },
}
NEEDS = {"JavaScript": "node", "Perl": "perl", "C++": "g++", "Java": "java"}
OTHERS = [
    Attack(name, language, "verdict", job, needs=NEEDS[language])
    for language, programs in _WRONG.items()
    for name, job in programs.items()
]
