"""Every attack by the user who runs this, as JSON rows: `python -m tests.harness.sandbox.as_user BACKEND`.

Run by the tests under another user, whose Python may be another and may have no pytest.
"""

import json
import sys
from dataclasses import asdict

from harness.sandbox.backends.base import Backend
from harness.sandbox.backends.bubblewrap import Bubblewrap, candidates
from harness.sandbox.backends.landlock import Landlock
from harness.sandbox.backends.selection import lack
from harness.sandbox.pool import in_order
from tests.harness.sandbox.arena import attempt, can_be_tried
from tests.harness.sandbox.attacks import ATTACKS


def backend_named(name: str) -> Backend:
    return Landlock() if name == Landlock.name else Bubblewrap(next(candidates()))


def main(name: str) -> None:
    backend = backend_named(name)
    attacks = [attack for attack in ATTACKS if can_be_tried(attack)]
    missing = lack(backend)
    rows = [] if missing else in_order(lambda attack: attempt(attack, backend), attacks)
    print(json.dumps({"lack": missing, "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main(sys.argv[1])
