"""`python -m harness`: the same program as `fusegauge`."""

from harness.commands import main

if __name__ == "__main__":
    main()
