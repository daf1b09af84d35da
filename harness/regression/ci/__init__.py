"""What a CI system reads of a check: JUnit XML, a Markdown summary, GitHub's annotations.

Never here: a decision about the run; `Findings` are what was decided, in words.
"""

from harness.regression.ci.findings import Findings, findings_of, findings_of_error
from harness.regression.ci.publishing import Places, publish

__all__ = ["Findings", "Places", "findings_of", "findings_of_error", "publish"]
