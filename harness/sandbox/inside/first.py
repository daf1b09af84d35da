"""The first program in every sandbox: limits itself, runs the compiler if there is one, becomes the job.

Executed as a script by a bare interpreter (`-I -S`: no environment, no site-packages), so it imports only
what that interpreter has built in. Argument: the descriptor of a file that holds `Orders`, marshalled.

It tells the harness where it is by single bytes: `STARTED` when the sandbox stands, `COMPILED` when the
compiler is done. After each it waits for a byte, so that the harness knows all processes of the sandbox
before the job is one of them, and so that the output of two steps cannot mix.
"""

import _signal  # type: ignore[import-not-found]  # `signal` itself takes long to import
import marshal
import os
import sys

STARTED, COMPILED = b"s", b"c"
CANNOT_START = 127  # as a shell says it
BUNDLE = ".modules"  # ends the name of a script that holds compiled modules, the main one last, marshalled
BARE = ["-I", "-S"]  # how this script is run; a job that asks for the same interpreter is run within it

Order = tuple[list[str], dict[str, int], list[int], list[str]]  # argv, limits, accepted codes, removed files
Orders = tuple[int, int, int, str, list[Order]]  # status and answer descriptors, uid or -1, folder, steps


def limit(kinds: dict[str, int]) -> None:
    """Soft and hard, so that the program cannot raise them again."""
    import resource

    for name, value in kinds.items():
        if (kind := getattr(resource, name, None)) is None:
            continue
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # At the hard limit of CPU time the kernel kills without a word; the soft one comes first and tells.
        ceiling = bound + (name == "RLIMIT_CPU" and bound != hard)
        try:
            resource.setrlimit(kind, (bound, ceiling))
        except (OSError, ValueError):  # macOS refuses RLIMIT_AS; the watch over resident memory still holds
            continue


def become(uid: int) -> None:
    """Give up root for a user that owns nothing; capabilities go with it."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def run(argv: list[str], limits: dict[str, int]) -> None:
    """Turn into the program. Returns only for a script of this very interpreter, which ran here."""
    limit(limits)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # this interpreter ignores them, its heirs would too
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
    """As `python -I -S ...` would, without the time that a second interpreter takes."""
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
    """Run a step before the last in a process of its own; its return code as a shell gives it."""
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
    """In a reduced sandbox a linker cannot set the mode of what it made; through an open file one can."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:  # a program of the system, by its name
        return
    try:  # noqa: SIM105 - contextlib takes long to import
        os.fchmod(file, 0o755)
    except OSError:  # one of the system, by its path
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
