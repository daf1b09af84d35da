r"""An additional answer filter for BBH, whose official regular expression loses a character.

BBH's official few-shot tasks extract the answer with `(?<=the answer is )(.*)(?=.)`. The look-ahead requires
one more character on the line: "the answer is (A)." gives "(A)", but "the answer is (A)" gives "(A", which is
scored as wrong. A model that does not end its answer with a period therefore gets a lower score.

The official filter is unchanged and stays the default. Every task with exactly this expression gets a second
filter, `get-answer-whole`, on the same generations: it takes the text from "the answer is " to the end of the
line and drops one final period. A suite chooses it with `filter: get-answer-whole`; otherwise items contain
its score beside the official one, as `exact_match,get-answer-whole`.
"""

from collections.abc import Mapping
from typing import Any

NAME = "get-answer-whole"
DEFECTIVE = "(?<=the answer is )(.*)(?=.)"
WHOLE = r"(?m)(?<=the answer is )(.*?)\.?[^\S\n]*$"  # without white space at the end of the line


def add_whole_answer(task: Any) -> None:
    """Give `task` the filter `get-answer-whole` if one of its filters loses the last character.

    The filter is added to the task's configuration too, so that it is part of the task's fingerprint.
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
