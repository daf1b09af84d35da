"""Headless Chromium for tests that look at a page; they are skipped, by name, where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1800,1600",
)
PATIENCE = 120.0  # seconds until a page of a busy machine is there


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A browser with a profile of its own."""
    pytest.importorskip("selenium", reason="selenium is not installed (pip install -e '.[dev]')")
    missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
    if missing:
        pytest.skip(f"NOT TESTED IN A BROWSER: no {' and '.join(missing)} (apt-get install chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=str(DRIVER))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        yield browser
    finally:
        browser.quit()


def wait_for(browser: Any, script: str) -> Any:
    """The value of a JavaScript expression as soon as it is one that counts as true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE).until(lambda b: b.execute_script(f"return {script}"))
