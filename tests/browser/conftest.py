"""A headless Chromium, as Debian packages it; tests that need one are skipped where there is none."""

import shutil
from collections.abc import Iterator

import pytest

from window import Window

# What keeps Chromium quiet: it runs as root in containers, and has nothing to ask the network for.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: `make test` does that")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian's package `chromium`)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


SIZES = {"desktop": (1200, 900, "light"), "phone": (390, 844, "dark")}


@pytest.fixture(params=SIZES)
def opened(browser, request: pytest.FixtureRequest) -> Iterator[Window]:
    window = Window(browser, *SIZES[request.param])
    yield window
    window.context.close()
