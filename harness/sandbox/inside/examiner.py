"""The tests' side: runs the tests; calls to the candidate's functions are sent to its sandbox.

Names that the tests use but do not define are looked up in the candidate. Built-in names keep their meaning
unless the tests use no other function of the candidate: a candidate must not replace `sorted` in tests of
another function, but a problem may ask for a function called `sum`. Helpers that the prompt defines in full
are defined here, not taken from the candidate.

Arguments: file descriptors to read answers from and to write calls to. Runs in a bare interpreter.
"""

import builtins
import os
import sys
from typing import Any

from harness.sandbox.inside.plain_data import Reference, decode, encode, receive, send

TESTS, GIVEN, PROOF = "tests.py", "given.py", "proof"
FAILED, MEMORY, ERROR, GONE = 10, 11, 12, 13  # exit codes; a pass needs 0 and the proof


class CandidateError(Exception):
    """The candidate raised an exception that is not built into Python."""


class Gone(BaseException):
    """The candidate no longer answers."""


class Candidate:
    """The program under test, reached through two pipes."""

    def __init__(self, answers: int, calls: int) -> None:
        self._answers, self._calls = answers, calls

    def loaded(self) -> None:
        """Wait until the program has been loaded."""
        self._hear()

    def ask(self, *call: Any) -> Any:
        send(self._calls, encode(list(call)))
        return self._hear()

    def function(self, called: str | Reference) -> Any:
        return lambda *positional, **named: self.ask("call", called, list(positional), named)

    def names(self, wanted: list[str]) -> dict[str, Any]:
        """Objects for those of the wanted names that the candidate defines."""
        kinds = self.ask("what", wanted) if wanted else {}
        return {name: self._found(name, *kind) for name, kind in kinds.items()}

    def _found(self, name: str, kind: str, value: Any) -> Any:
        if kind == "module" and value in sys.stdlib_module_names:
            __import__(value)
            return sys.modules[value]
        return self.function(name) if kind == "callable" else value

    def _hear(self) -> Any:
        if (text := receive(self._answers)) is None:
            raise Gone
        said = decode(text, Reference)
        if said[0] == "ok":
            return said[1]
        raise _exception(said[1], said[2])


def _exception(name: str, message: str) -> Exception:
    found = getattr(builtins, name, None)
    try:
        if issubclass(found, Exception):  # type: ignore[arg-type]
            return found(message)  # type: ignore[misc, no-any-return]
    except TypeError:  # not a class, or its constructor needs other arguments
        pass
    return CandidateError(f"{name}: {message}")


def namespace(tests: Any, given: str, candidate: Candidate) -> dict[str, Any]:
    """The tests' global names: helpers from the prompt and objects of the candidate."""
    found: dict[str, Any] = {"__name__": "tests"}
    if given:
        exec(compile(given, GIVEN, "exec"), found)
    used = [name for name in _used(tests) if name not in found]
    own = candidate.names([name for name in used if not hasattr(builtins, name)])
    if not any(map(callable, own.values())):
        own |= candidate.names([name for name in used if hasattr(builtins, name)])
    return found | own


def _used(code: Any) -> set[str]:
    """Global names that a code object and its nested code objects may use."""
    inner = (constant for constant in code.co_consts if isinstance(constant, type(code)))
    return set(code.co_names).union(*map(_used, inner))


def judge(candidate: Candidate) -> int:
    """Run the tests and return the exit code; errors are written to stderr."""
    try:
        candidate.loaded()
        tests = compile(_text(TESTS), TESTS, "exec")
        names = namespace(tests, _text(GIVEN), candidate)
        exec(tests, names)
    except MemoryError:
        return MEMORY
    except (Gone, BrokenPipeError):
        return GONE
    except BaseException as error:
        print(f"{type(error).__name__}: {error}"[:1000], file=sys.stderr)
        return FAILED if isinstance(error, AssertionError) else ERROR
    return 0


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return file.read()


def main() -> None:
    proof = _text(PROOF)
    os.remove(PROOF)  # noqa: PTH107
    code = judge(Candidate(int(sys.argv[1]), int(sys.argv[2])))
    if code == 0:
        print(f"\n{proof}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # do not wait for threads that the tests left running


if __name__ == "__main__":
    main()
