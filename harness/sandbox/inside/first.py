"""The first program in every sandbox: sets resource limits, runs the compiler if any, then runs the job.

Executed as a script by a bare interpreter (`-I -S`: no environment, no site-packages), so it imports only
modules from the standard library. Argument: the file descriptor of a file with marshalled `Orders`.

It reports its progress to the harness in single bytes: `STARTED` when the sandbox is ready, `COMPILED` when
the compiler has finished. After each it waits for a byte, so that the harness can list the sandbox's own
processes before the job starts, and so that the output of the two steps is not mixed.
"""

import _signal  # type: ignore[import-not-found]  # `signal` is slow to import
import marshal
import os
import sys

STARTED, COMPILED = b"s", b"c"
CANNOT_START = 127  # as in a shell
BUNDLE = ".modules"  # suffix of scripts that are marshalled lists of compiled modules, main last
BARE = ["-I", "-S"]  # how this script is run; Python jobs with these options run in its process

Order = tuple[list[str], dict[str, int], list[int], list[str]]  # argv, limits, accepted codes, removed files
Orders = tuple[int, int, int, str, list[Order]]  # status and answer descriptors, uid or -1, folder, steps


def limit(kinds: dict[str, int]) -> None:
    """Set soft and hard resource limits; the program cannot raise them again."""
    import resource

    for name, value in kinds.items():
        if (kind := getattr(resource, name, None)) is None:
            continue
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # The kernel sends SIGKILL at the hard CPU limit; a lower soft limit sends SIGXCPU first (a time-out).
        ceiling = bound + (name == "RLIMIT_CPU" and bound != hard)
        try:
            resource.setrlimit(kind, (bound, ceiling))
        except (OSError, ValueError):  # macOS refuses RLIMIT_AS; resident memory is still watched
            continue


def become(uid: int) -> None:
    """Switch from root to a user ID that owns nothing; this also drops all capabilities."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def run(argv: list[str], limits: dict[str, int]) -> None:
    """Replace this process by the program. Returns only after a script that ran in this interpreter."""
    limit(limits)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # ignored by Python, and children would inherit that
        _signal.signal(number, _signal.SIG_DFL)
    if argv[0] == sys.executable and argv[1:3] == BARE:
        run_script(argv[3:])
        return
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(CANNOT_START)


def run_script(argv: list[str]) -> None:
    """Run a script as `python -I -S` would, without starting a second interpreter."""
    sys.argv[:] = argv
    with open(argv[0], "rb") as file:  # noqa: PTH123 - pathlib costs more than the whole start-up
        source = file.read()
    modules = marshal.loads(source) if argv[0].endswith(BUNDLE) else []
    for name, code in modules[:-1]:
        sys.modules[name] = type(sys)(name)
        exec(code, sys.modules[name].__dict__)
    main = modules[-1][1] if modules else compile(source, argv[0], "exec")
    exec(main, {"__name__": "__main__"})


def compiled(step: Order, private: list[int]) -> int:
    """Run the compile step in a child process and return its return code, as a shell reports it."""
    argv, limits, _, removed = step
    if (child := os.fork()) == 0:
        for descriptor in private:
            os.close(descriptor)
        run(argv, limits)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for path in removed:
        try:
            os.remove(path)  # noqa: PTH107
        except OSError:
            continue
    return code if code >= 0 else 128 - code


def make_startable(path: str) -> None:
    """Make a file executable through a file descriptor: linkers in a reduced sandbox may not use its path."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:  # a system program named without its path
        return
    try:  # noqa: SIM105 - contextlib takes long to import
        os.fchmod(file, 0o755)
    except OSError:  # a system program named by its path
        pass
    os.close(file)


def tell(word: bytes, status: int, answer: int) -> None:
    os.write(status, word)
    os.read(answer, 1)


def main() -> None:
    orders = int(sys.argv[1])
    with os.fdopen(orders, "rb") as file:
        status, answer, uid, folder, steps = marshal.load(file)
    if uid >= 0:
        become(uid)
    os.chdir(folder)
    tell(STARTED, status, answer)
    for step in steps[:-1]:
        code = compiled(step, [status, answer])
        if code not in step[2]:
            os._exit(code)
        make_startable(steps[-1][0][0])
        tell(COMPILED, status, answer)
    os.close(status)
    os.close(answer)
    run(*steps[-1][:2])


if __name__ == "__main__":
    main()
