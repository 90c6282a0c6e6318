"""A headless Chromium, as a person at the keyboard uses one."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no Chromium with chromedriver is found: apt-get install chromium chromium-driver",
)


@contextlib.contextmanager
def chromium(width: int = 1280, height: int = 800) -> Iterator[Any]:
    """A browser with a window of this size in pixels."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    given = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking")
    for argument in given:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        yield driver
    finally:
        driver.quit()


@contextlib.contextmanager
def collecting(folder: Path, *words: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A `ddecli collect` that runs in a folder: the address of its page, and the process; ended by Ctrl-C."""
    command = [sys.executable, "-m", "ddecli", "collect", *map(str, words), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)
    try:
        said = ""
        assert process.stderr is not None
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/[\w-]+/", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        yield found[0], process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()


class Page:
    """The page as somebody sees it who has a keyboard alone."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address
        driver.get(address)

    def press(self, *keys: str) -> None:
        """Type on whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def text(self, identifier: str) -> str:
        """What an element says, if it can be seen."""
        return str(self.driver.find_element("id", identifier).text)

    def script(self, code: str) -> Any:
        """What an expression of the page's own language gives."""
        return self.driver.execute_script(f"return {code}")

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Wait for something."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, self.driver.page_source
            time.sleep(0.02)

    def ready(self, done: int) -> None:
        """Wait until so many votes are counted, and the next pair can be voted on."""
        self.until(lambda: self.text("count").startswith(f"{done} of ") and not self.script("busy"))

    def begin(self, voter: str, done: int = 0) -> None:
        """Say who votes."""
        from selenium.webdriver.common.keys import Keys

        self.until(lambda: self.driver.switch_to.active_element.get_attribute("id") == "voter")
        self.press(voter, Keys.ENTER)
        self.ready(done)
