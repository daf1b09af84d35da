"""An assumption about a library that its documentation does not make, with the check of it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from platform import python_version
from typing import TypeVar

Check = TypeVar("Check", bound=Callable[[], None])


@dataclass(frozen=True)
class Assumption:
    """One name of a library that may change without notice.

    `spellings` are the words by which the modules in `used_in` use it. The other texts become the columns of
    docs/upgrading.md.
    """

    library: str
    name: str
    spellings: tuple[str, ...]
    used_in: tuple[str, ...]
    assumed: str
    why: str  # no public name does
    breaks: str  # in this project, where it no longer holds
    check: Callable[[], None]

    @property
    def test(self) -> str:
        return self.check.__name__

    def verify(self) -> None:
        """Raises AssertionError with everything a person needs who has raised a version bound."""
        try:
            self.check()
        except Exception as error:
            raise AssertionError(
                f"{self.library} {installed(self.library)}: {self.name} is not what these modules rely on: "
                f"{', '.join(self.used_in)}.\n"
                f"  assumed: {self.assumed}\n"
                f"  breaks:  {self.breaks}\n"
                f"  found:   {type(error).__name__}: {error}\n"
                "  docs/upgrading.md says what to do."
            ) from error


ASSUMPTIONS: list[Assumption] = []


def assumes(
    library: str,
    name: str,
    *,
    used_in: str,
    assumed: str,
    why: str,
    breaks: str,
    spelled: str = "",
) -> Callable[[Check], Check]:
    """Enter the function as the check of one assumption; it raises where that does not hold.

    Args:
        library: the distribution's name.
        used_in: modules, separated by spaces.
        spelled: words of the source that use it, separated by spaces; the name's last part unless given.
    """

    def enter(check: Check) -> Check:
        spellings = tuple(spelled.split()) or (name.rpartition(".")[2],)
        ASSUMPTIONS.append(
            Assumption(library, name, spellings, tuple(used_in.split()), assumed, why, breaks, check)
        )
        return check

    return enter


def installed(library: str) -> str:
    return python_version() if library == "Python" else version(library)
