"""All entries, library by library."""

from tests.upgrading import of_hub, of_lm_eval, of_mlflow, of_python, of_torch, of_transformers
from tests.upgrading.assumption import ASSUMPTIONS

__all__ = ["ASSUMPTIONS", "of_hub", "of_lm_eval", "of_mlflow", "of_python", "of_torch", "of_transformers"]
