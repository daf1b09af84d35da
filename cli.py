"""`fusegauge` from a checkout: `python cli.py ...`."""

from harness.commands import main

if __name__ == "__main__":
    main()
