"""lm-eval's own command line with our model class: `fusegauge-lm-eval --model fusegauge ...`."""


def main() -> None:
    """Run lm-eval's command line with our model registered: installed packages cannot add models to it."""
    from lm_eval.__main__ import cli_evaluate

    from harness.scoring.shared_prefix import register

    register()
    cli_evaluate()


if __name__ == "__main__":
    main()
