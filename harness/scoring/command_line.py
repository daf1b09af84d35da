"""lm-eval's own command line with our model class: `fusegauge-lm-eval --model fusegauge ...`."""


def main() -> None:
    """lm-eval has no way for installed packages to add a model, so its command starts from here."""
    from lm_eval.__main__ import cli_evaluate

    from harness.scoring.shared_prefix import register

    register()
    cli_evaluate()


if __name__ == "__main__":
    main()
