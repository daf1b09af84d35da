"""Parameters of a stage, collected from the `Decides` marks on a suite's fields."""

from typing import Any

from pydantic_core import to_jsonable_python

from fusion.method import Decides


def marks(section: Any) -> dict[str, Decides]:
    """Field name -> its `Decides` mark; `section` is a part of a suite, as a class or an object."""
    found = {
        name: [mark for mark in field.metadata if isinstance(mark, Decides)]
        for name, field in section.__pydantic_fields__.items()
    }
    return {name: each[0] for name, each in found.items() if each}


def parameters(stage: str, *sections: Any) -> dict[str, Any]:
    """The JSON-able values of all fields in `sections` that decide the output of `stage`.

    Raises KeyError where two sections have such a field of the same name.
    """
    found: dict[str, Any] = {}
    for section in sections:
        for name, mark in marks(section).items():
            if stage in mark.stages:
                if name in found:
                    raise KeyError(f"two parts of the suite have a {name!r} that decides {stage}")
                found[name] = to_jsonable_python(getattr(section, name))
    return found
