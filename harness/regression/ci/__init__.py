"""Output of a check for CI systems: JUnit XML, a Markdown summary, GitHub annotations.

Never here: a decision about the run; `Findings` hold what was decided, as text.
"""

from harness.regression.ci.findings import Findings, findings_of, findings_of_error
from harness.regression.ci.publishing import Places, publish

__all__ = ["Findings", "Places", "findings_of", "findings_of_error", "publish"]
