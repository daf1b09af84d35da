"""Table of programming languages: compile and run commands, resource limits, packages, and proof code.

One entry is one kind of program, so Go has two: a program with a `main`, and a test file. Commands are looked
up on the sandbox's PATH and run in the job's folder. For interpreted languages the compile step only parses,
so that "compiles" means the same everywhere: the program with its tests is valid in the language.

A proof is a random word in two halves (`nonce`); the code that prints it is added after the tests (`Proof`).
In this code `{first}` and `{second}` stand for the halves, and braces are doubled, as in `str.format`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.core.exceptions import InputError, nearest
from harness.sandbox.job import Limits
from harness.sandbox.languages.compare_logic import COMPARE_LOGIC

Command = tuple[str, ...]

GB = 1 << 30
_RUNNING = Limits(wall_seconds=20)  # generous: CPU time is the real limit, and other programs may be running
_PARSING = Limits(cpu_seconds=10, wall_seconds=30)
_COMPILING = Limits(cpu_seconds=30, wall_seconds=90, memory_bytes=2 * GB, file_bytes=256 << 20)
# Virtual machines reserve much more address space than they use, and start threads for JIT and GC.
_VIRTUAL = Limits(wall_seconds=20, address_space=False, processes=128)
_VIRTUAL_COMPILING = Limits(
    cpu_seconds=30,
    wall_seconds=90,
    memory_bytes=2 * GB,
    address_space=False,
    processes=256,
    file_bytes=256 << 20,
)
# Since 1.20, Go ships without a compiled standard library and compiles the used parts: half a minute.
_GO_COMPILING = replace(_VIRTUAL_COMPILING, cpu_seconds=120, wall_seconds=180)
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_JAVATUPLES = "/usr/share/java/javatuples.jar"
_NODE_MODULES = "/usr/share/nodejs"  # where Debian installs libraries for Node
_NODE_SETTINGS = ("/etc/ssl/openssl.cnf",)  # Node does not start if this exists but cannot be read


@dataclass(frozen=True)
class Proof:
    """Code that prints the proof on a separate line.

    It is added at the end of the program, or before the last `braces` closing braces, which close the blocks
    around the last test.
    """

    code: str
    braces: int = 0


@dataclass(frozen=True)
class Language:
    """One kind of program. `name` is its name in tasks, `title` its name in messages.

    sysroot: a command that prints the toolchain's folder, if that may be outside /usr; the folder is readable
        in the sandbox and replaces `{sysroot}` in commands.
    needs: files, such as libraries, that programs need in addition to the commands.
    shown: configuration outside /usr that the toolchain reads (glob patterns; missing files are ignored).
    packages: Debian packages.
    """

    name: str
    title: str
    source: str  # file name
    compile: Command
    run: Command
    proof: Proof
    version: Command  # prints the toolchain's version in its first line
    packages: tuple[str, ...]
    limits: Limits = _RUNNING
    compile_limits: Limits = _COMPILING
    keeps_source: bool = False  # False: the source, with tests and proof, is deleted before the run
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # in addition to the source
    disk_bytes: int = 128 << 20
    sysroot: Command = ()
    needs: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


PYTHON = Language(
    name="python",
    title="Python",
    source="main.py",
    compile=("python3", "-I", "-S", "-c", "compile(open('main.py', 'rb').read(), 'main.py', 'exec')"),
    run=("python3", "-I", "-S", "main.py"),
    proof=Proof('print("\\n{first}" + "{second}")'),
    version=("python3", "--version"),
    packages=("python3",),
    compile_limits=_PARSING,
    keeps_source=True,
)

CPP = Language(
    name="cpp",
    title="C++",
    source="main.cpp",
    compile=("g++", "-std=c++17", "-w", "main.cpp", "-o", "main"),
    run=("./main",),
    proof=Proof('printf("\\n%s%s\\n", "{first}", "{second}"); fflush(stdout);', braces=1),
    version=("g++", "--version"),
    packages=("g++",),
)

GO = Language(
    name="go",
    title="Go",
    source="main.go",
    compile=("go", "build", "-o", "main", "main.go"),
    run=("./main",),
    # println is built in: an import is not possible this late in the file
    proof=Proof('first, second := "{first}", "{second}"; println("\\n" + first + second)', braces=1),
    version=("go", "version"),
    packages=("golang-go",),
    limits=_VIRTUAL,
    compile_limits=_GO_COMPILING,
    environment={"GO111MODULE": "off", "GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"},
    disk_bytes=512 << 20,
)

GO_TEST = replace(
    GO,
    name="go_test",
    title="Go tests",
    source="main_test.go",
    compile=("go", "test", "-c", "-o", "main", "main_test.go"),
    proof=Proof(
        "func TestMain(m *testing.M) {{\n\tif m.Run() == 0 {{\n"
        '\t\tfirst, second := "{first}", "{second}"\n\t\tprintln("\\n" + first + second)\n\t}}\n}}',
    ),
)

JAVA = Language(
    name="java",
    title="Java",
    source="Main.java",  # may contain classes of any name, since none is public
    compile=(
        "javac",
        *(f"-J{option}" for option in _JVM),
        *("-proc:none", "-nowarn", "-encoding", "UTF8", "-cp", _JAVATUPLES, "-d", ".", "Main.java"),
    ),
    run=("java", *_JVM, "-Xmx512m", "-Xss64m", "-ea", "-cp", f".:{_JAVATUPLES}", "{main}"),
    proof=Proof('System.out.println("\\n" + "{first}".concat("{second}"));', braces=2),
    version=("javac", "-version"),
    packages=("default-jdk-headless", "libjavatuples-java"),
    limits=_VIRTUAL,
    compile_limits=_VIRTUAL_COMPILING,
    needs=(_JAVATUPLES,),
    shown=("/etc/java-*-openjdk",),
)

JAVASCRIPT = Language(
    name="javascript",
    title="JavaScript",
    source="main.js",
    compile=("node", "--check", "main.js"),
    run=("node", "--max-old-space-size=512", "main.js"),
    proof=Proof(';console.log("\\n{first}" + "{second}");'),
    version=("node", "--version"),
    packages=("nodejs", "node-lodash"),
    limits=_VIRTUAL,
    compile_limits=_VIRTUAL_COMPILING,
    keeps_source=True,
    environment={"NODE_PATH": _NODE_MODULES},
    needs=(f"{_NODE_MODULES}/lodash/package.json",),
    shown=_NODE_SETTINGS,
)

TYPESCRIPT = Language(
    name="typescript",
    title="TypeScript",
    source="main.ts",
    # --skipLibCheck: does not check the compiler's own declarations, which halves the time
    compile=(
        "tsc",
        *("--target", "es2020", "--module", "commonjs", "--skipLibCheck"),
        "main.ts",
        "modules.d.ts",
    ),
    run=("node", "--max-old-space-size=512", "main.js"),
    proof=JAVASCRIPT.proof,
    version=("tsc", "--version"),
    packages=("nodejs", "node-typescript"),
    limits=_VIRTUAL,
    compile_limits=_VIRTUAL_COMPILING,
    # There are no type declarations for Node's modules: imports from them are not type-checked
    files={"modules.d.ts": 'declare module "*";\n'},
    shown=_NODE_SETTINGS,
)

PHP = Language(
    name="php",
    title="PHP",
    source="main.php",
    compile=("php", "-l", "main.php"),
    run=("php", "-d", "memory_limit=512M", "main.php"),
    proof=Proof('echo "\\n{first}" . "{second}\\n";'),
    version=("php", "--version"),
    packages=("php-cli",),
    compile_limits=_PARSING,
    keeps_source=True,
    shown=("/etc/php",),  # lists the extensions to load, such as ctype
)

R = Language(
    name="r",
    title="R",
    source="main.R",
    compile=("Rscript", "--vanilla", "-e", "invisible(parse('main.R'))"),
    run=("Rscript", "--vanilla", "main.R"),
    proof=Proof('cat("\\n{first}", "{second}\\n", sep = "")'),
    version=("R", "--version"),
    packages=("r-base-core",),
    compile_limits=_PARSING,
    keeps_source=True,
    shown=("/etc/R",),
)

RUBY = Language(
    name="ruby",
    title="Ruby",
    source="main.rb",
    compile=("ruby", "-c", "main.rb"),
    run=("ruby", "main.rb"),
    # Otherwise Test::Unit would run the tests after the program's last line, where the proof is printed
    proof=Proof(
        "if defined?(Test::Unit::AutoRunner)\n  Test::Unit::AutoRunner.need_auto_run = false\n"
        '  exit(1) unless Test::Unit::AutoRunner.run\nend\nputs "\\n{first}" + "{second}"'
    ),
    version=("ruby", "--version"),
    packages=("ruby", "ruby-test-unit"),
    compile_limits=_PARSING,
    keeps_source=True,
)

RUST = Language(
    name="rust",
    title="Rust",
    source="main.rs",
    compile=("{sysroot}/bin/rustc", "--edition", "2021", "-A", "warnings", "main.rs", "-o", "main"),
    run=("./main",),
    proof=Proof('println!("\\n{{}}{{}}", "{first}", "{second}");', braces=1),
    version=("rustc", "--version"),
    packages=("rustc",),
    sysroot=("rustc", "--print", "sysroot"),  # rustup installs toolchains in the home folder
)

CSHARP = Language(
    name="csharp",
    title="C#",
    source="main.cs",
    compile=(
        "mcs",
        "-nologo",
        "-r:System.Core",
        "-r:System.Numerics",
        "main.cs",
        "compare.cs",
        "-out:main.exe",
    ),
    run=("mono", "main.exe"),
    proof=Proof('Console.WriteLine("\\n" + String.Concat("{first}", "{second}"));', braces=3),
    version=("mcs", "--version"),
    packages=("mono-mcs", "libmono-system-core4.0-cil", "libmono-system-numerics4.0-cil"),
    limits=_VIRTUAL,
    compile_limits=_VIRTUAL_COMPILING,
    files={"compare.cs": COMPARE_LOGIC},
    shown=("/etc/mono",),
)

PERL = Language(
    name="perl",
    title="Perl",
    source="main.pl",
    compile=("perl", "-c", "main.pl"),
    run=("perl", "main.pl"),
    proof=Proof('print "\\n{first}" . "{second}\\n";'),
    version=("perl", "--version"),
    packages=("perl", "libdata-compare-perl", "libtest-deep-perl"),
    compile_limits=_PARSING,
    keeps_source=True,
    needs=("/usr/share/perl5/Test/Deep.pm", "/usr/share/perl5/Data/Compare.pm"),
)

LANGUAGES: Mapping[str, Language] = {
    language.name: language
    for language in (
        *(PYTHON, CPP, GO, GO_TEST, JAVA, JAVASCRIPT, TYPESCRIPT, PHP, R, RUBY, RUST),
        *(CSHARP, PERL),
    )
}


def language_named(name: str) -> Language:
    """The language with this name. InputError with the nearest name if there is none."""
    if name not in LANGUAGES:
        raise InputError(
            f"unknown language {name!r}{nearest(name, LANGUAGES)}",
            remedy=f"name one of {', '.join(LANGUAGES)}",
        )
    return LANGUAGES[name]
