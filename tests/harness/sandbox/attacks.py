"""Every attack."""

from tests.harness.sandbox.cheats import CHEATS
from tests.harness.sandbox.escapes import ESCAPES
from tests.harness.sandbox.exhaustions import EXHAUSTIONS
from tests.harness.sandbox.other_languages import OTHERS

ATTACKS = [*CHEATS, *ESCAPES, *EXHAUSTIONS, *OTHERS]
