"""Take the pictures of the report that README and docs show: make screenshots RESULTS=<a study's results folder>."""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Chromium as root in a container, with nothing to ask the network for.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def answer(page: Page) -> int:
    """The answer and the main figure; the picture ends below them."""
    box = page.locator("#answer figure").first.bounding_box()
    return round(box["y"] + box["height"]) + 16


def phone(page: Page) -> int:
    """What a phone shows first."""
    return page.viewport_size["height"]


def question(page: Page) -> int:
    """A question that a trained condition gets right and another wrong, opened, below the filter."""
    page.goto(f"{page.url.partition('#')[0]}#questions")
    page.wait_for_selector(".pairs")
    buttons = page.locator(".pairs button").all()
    some = [button for button in buttons if button.inner_text() != "0"]
    # The last pair is one of trained conditions.
    if some:
        some[-1].click()
    page.locator(".question summary").first.click()
    page.evaluate("document.querySelector('.count').scrollIntoView()")
    return page.viewport_size["height"]


PICTURES = {
    "report": (answer, 1100, 900, "light", 1),
    "report_questions": (question, 1100, 760, "light", 1),
    "report_phone": (phone, 390, 844, "dark", 2),
}


def take(browser: Browser, report: Path, folder: Path) -> list[Path]:
    """Write the pictures of a report into a folder."""
    taken = []
    for name, (go, width, height, scheme, scale) in PICTURES.items():
        size = {"width": width, "height": height}
        page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=scale)
        page.goto(report.as_uri())
        page.set_viewport_size({"width": width, "height": go(page)})
        taken.append(folder / f"{name}.png")
        page.screenshot(path=taken[-1])
        page.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results", type=Path, help="results folder of the study")
    parser.add_argument("--to", default=HERE, type=Path, help="folder of the pictures; docs/ if not given")
    arguments = parser.parse_args()
    report = arguments.results.resolve() / "report.html"
    if not report.is_file():
        sys.exit(f"error: {report} is not there; run the study first, or name its results folder with --results")
    if CHROMIUM is None:
        sys.exit("error: Chromium is not installed (Debian's package `chromium`)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for path in take(browser, report, arguments.to):
            print(path)
        browser.close()


if __name__ == "__main__":
    main()
