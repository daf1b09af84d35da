"""The candidate's side: loads the program and answers the calls of tests that run in another sandbox.

The program shares this process and may tamper with it, so only plain values leave it (`plain_data`).
Arguments: file descriptors to read calls from and to write answers to. Runs in a bare interpreter.
"""

import sys
from typing import Any

from harness.sandbox.inside.plain_data import NotPlain, decode, encode, receive, send

PROGRAM = "program.py"
_OWN: list[Any] = []  # objects that the tests hold a reference to


def main(calls: int, answers: int) -> None:
    names: dict[str, Any] = {"__name__": "program"}  # not "__main__", as in the reference implementation
    send(answers, _attempt(lambda: _load(names)))
    while (call := receive(calls)) is not None:
        send(answers, _attempt(lambda call=call: _answer(names, decode(call, _OWN.__getitem__))))


def _load(names: dict[str, Any]) -> Any:
    with open(PROGRAM, encoding="utf-8") as file:  # noqa: PTH123
        source = file.read()
    exec(compile(source, PROGRAM, "exec"), names)


def _answer(names: dict[str, Any], call: list[Any]) -> Any:
    """For a "what" call, the kind of each requested name; otherwise the result of calling a function."""
    if call[0] == "what":
        return {name: _kind(names[name]) for name in call[1] if name in names}
    _, called, positional, named = call
    function = names[called] if isinstance(called, str) else called
    return function(*positional, **named)


def _kind(value: Any) -> list[Any]:
    if isinstance(value, type(sys)):
        return ["module", value.__name__]
    return ["callable", None] if callable(value) else ["value", value]


def _attempt(work: Any) -> str:
    """Encode the outcome of `work`: ["ok", result] or ["raised", type, message]."""
    try:
        return encode(["ok", work()], _refer)
    except NotPlain as error:
        return encode(["raised", "TypeError", f"the answer is {error}, not plain data"])
    except BaseException as error:
        return encode(["raised", type(error).__name__, _message(error)])


def _message(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except BaseException:
        return ""


def _refer(value: Any) -> int:
    _OWN.append(value)
    return len(_OWN) - 1


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
