"""Take the pictures of the report that README and docs show: make screenshots RESULTS=<a study's results folder>."""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
# Chromium as root in a container, with nothing to ask the network for.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def top(page: Page) -> None:
    """The answer and the main figure."""


def question(page: Page) -> None:
    """The first question that two conditions answer differently, opened."""
    page.goto(f"{page.url.partition('#')[0]}#questions")
    page.wait_for_selector(".pairs")
    for button in page.locator(".pairs button").all():
        if button.inner_text() != "0":
            button.click()
            break
    page.locator(".question summary").first.click()
    page.locator(".count").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('.count').scrollIntoView()")


PICTURES = {
    "report": (top, 1100, 900, "light"),
    "report_questions": (question, 1100, 800, "light"),
    "report_phone": (top, 390, 844, "dark"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results", type=Path, help="results folder of the study")
    report = parser.parse_args().results.resolve() / "report.html"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, (go, width, height, scheme) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(report.as_uri())
            go(page)
            page.screenshot(path=HERE / f"{name}.png")
            print(f"docs/{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
