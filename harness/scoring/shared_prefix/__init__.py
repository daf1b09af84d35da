"""Scoring at the token limit: lm-eval's numbers from each distinct token computed once.

`register` makes the model class `fusegauge` known to lm-eval without importing it.
"""


def register() -> None:
    """Let lm-eval find `fusegauge` by name, next to its own model names."""
    import lm_eval.models  # noqa: F401  # its own names first
    from lm_eval.api.registry import model_registry

    if "fusegauge" not in model_registry:
        model_registry.register("fusegauge", target="harness.scoring.shared_prefix.lm:SharedPrefixLM")
