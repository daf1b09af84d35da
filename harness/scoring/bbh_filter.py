r"""An additional answer filter for BBH, whose official regular expression loses a character.

BBH's official few-shot tasks take what `(?<=the answer is )(.*)(?=.)` matches. The look-ahead wants one more
character on the line, whichever it is: "the answer is (A)." gives "(A)", but "the answer is (A)" gives "(A",
which is scored as wrong. Models that end without a period are then ranked by their punctuation.

The official filter stays what it is and stays the default. Every task with exactly this expression gets one
more, `get-answer-whole`, over the same generations: from "the answer is " to the end of the line, one final
period dropped. A suite chooses it with `filter: get-answer-whole`; without that, items carry its scores
beside the official ones as `exact_match,get-answer-whole`.
"""

from collections.abc import Mapping
from typing import Any

NAME = "get-answer-whole"
DEFECTIVE = "(?<=the answer is )(.*)(?=.)"
WHOLE = r"(?m)(?<=the answer is )(.*?)\.?[^\S\n]*$"  # white space at the line's end is no answer


def add_whole_answer(task: Any) -> None:
    """Give `task` the filter `get-answer-whole` if one of its filters loses the last character.

    Its configuration names the new filter too, so that the task's fingerprint knows of it.
    """
    official = next((f for f in task.config.filter_list or () if _is_defective(f)), None)
    if official is None:
        return
    whole = {"name": NAME, "filter": [_repaired(component) for component in official["filter"]]}
    task.set_config(key="filter_list", value=[*task.config.filter_list, whole])
    task._filters = [*task._filters, _ensemble(whole)]


def _is_defective(configured: Mapping[str, Any]) -> bool:
    return any(component.get("regex_pattern") == DEFECTIVE for component in configured["filter"])


def _repaired(component: Mapping[str, Any]) -> dict[str, Any]:
    changed = {"regex_pattern": WHOLE} if component.get("regex_pattern") == DEFECTIVE else {}
    return {**component, **changed}


def _ensemble(configured: Mapping[str, Any]) -> Any:
    """Build a filter ensemble as lm-eval's task does from its YAML."""
    from lm_eval.filters import build_filter_ensemble

    components = [
        (component["function"], {k: v for k, v in component.items() if k != "function"})
        for component in configured["filter"]
    ]
    return build_filter_ensemble(configured["name"], components)
