"""A page in a window of its own."""

from pathlib import Path


class Window:
    """A page in a window of a size of its own, with whatever it asked for or complained about."""

    def __init__(self, browser, width: int, height: int, scheme: str, **more) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
        self.context.add_init_script(
            "window.clicks = 0; addEventListener('click', () => { window.clicks += 1; }, true);"
        )
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: Path, anchor: str = "") -> None:
        self.page.goto(f"file://{path}{anchor}")

    def unfold(self, question) -> None:
        """Open a question on the page; the browser tells the page of it later, which then puts the answers there."""
        question.locator("summary").click()
        question.locator(".answers").wait_for()

    def questions(self) -> list[str]:
        """Headings of the questions that are on the page."""
        return self.page.locator(".question > summary strong").all_inner_texts()
