"""The model class `fusegauge`: lm-eval's numbers with every distinct token computed once.

`register` makes the model class `fusegauge` known to lm-eval without importing it. A model is read faster
only once its numbers have been compared with those of a plain forward pass; where they differ, lm-eval's own
class reads it.

Never here: knowledge of a task or a suite.
"""

NAME = "fusegauge"


def register() -> None:
    """Let lm-eval find `fusegauge` by name, next to its own model names."""
    import lm_eval.models  # noqa: F401  # its own names first
    from lm_eval.api.registry import model_registry

    if NAME not in model_registry:
        model_registry.register(NAME, target="harness.scoring.shared_prefix.lm:SharedPrefixLM")
