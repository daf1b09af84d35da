"""Runs inside the child: applies the limits, runs `program.py`, then proves that it came to its end.

Executed as a script by a bare interpreter (`-I -S`: no environment, no site-packages), so it imports only
what that interpreter has built in. Arguments: descriptor to read the proof's first half from, descriptor to
write the answer to, second half, then the limits in the order of `LIMITS`.

The answer is the two halves together. Neither the program's file nor its output ever holds both, so a
program that prints its own source, its arguments or a traceback gives nothing away.
"""

import os
import sys

LIMITS = ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_NPROC")
FAILED, MEMORY, ERROR = 10, 11, 12  # exit codes; a pass is 0 together with the proof


def apply_limits(values: list[int]) -> None:
    """Soft and hard, so that the program cannot raise them again (unless it is root).

    RLIMIT_NPROC does not bind root.
    """
    import resource

    for name, value in zip(LIMITS, values, strict=True):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # At the hard limit of CPU time the kernel kills without a word; the soft one comes first and tells.
        ceiling = bound + (name == "RLIMIT_CPU" and bound != hard)
        try:
            resource.setrlimit(kind, (bound, ceiling))
        except (OSError, ValueError):  # macOS refuses RLIMIT_AS; the wall clock still holds
            continue


def run(path: str) -> int:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs more than the whole start-up
        source = file.read()
    try:
        # Not "__main__": the reference implementation does not run main guards either.
        exec(compile(source, path, "exec"), {"__name__": "program"})
    except MemoryError:
        return MEMORY
    except AssertionError as error:
        print(f"AssertionError: {error}", file=sys.stderr)
        return FAILED
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return ERROR
    return 0


def main() -> None:
    process = os.getpid()
    source, sink, second_half = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    apply_limits([int(value) for value in sys.argv[4:]])
    del sys.argv[1:]
    code = run("program.py")
    if code == 0 and os.getpid() == process:  # a fork of the program does not answer for it
        os.write(sink, os.read(source, 64) + second_half.encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that the program left behind do not hold up the verdict


if __name__ == "__main__":
    main()
