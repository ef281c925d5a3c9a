"""Markdown of the analysis as sections of a page.

The text is ours, but the names in it are free: raw HTML is off, a link must be one that a browser may follow, an image
must be a figure of the study, and nothing gets an inline style, which the page's security policy forbids.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

# Draws a figure: its path, its caption and its number to HTML.
Draw = Callable[[str, str], Markup]


class Section(NamedTuple):
    """The text below a heading of the second level; `anchor` is its name in addresses."""

    anchor: str
    title: str
    html: Markup


def sections(text: str, figures: Mapping[str, str], draw: Draw) -> list[Section]:
    """Split a Markdown text in sections; what is before the first heading of level two is one without a title.

    Args:
        text: Markdown.
        figures: paths that an image may name, with captions; a paragraph that repeats a caption below is left out.
        draw: gives the HTML of a figure.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.options["typographer"] = False
    renderer = _Renderer(figures, draw)
    tokens = _without_repeated_captions(parser.parse(text))
    parts: list[tuple[str, list[Token]]] = [("", [])]
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            parts.append((tokens[place + 1].content, []))
        parts[-1][1].append(token)
    found, taken = [], set()
    for title, inside in parts:
        shown = _plain(parser, title)
        body = _without_heading(inside, "h2" if title else "h1")
        html = Markup(renderer.render(body, parser.options, {}))
        found.append(Section(_anchor(shown or "answer", taken), shown, html))
    return found


def _plain(parser: MarkdownIt, title: str) -> str:
    """A heading's text without marks."""
    (token,) = parser.parseInline(title) or [None]
    return "".join(part.content for part in token.children or []) if token else ""


def _anchor(title: str, taken: set[str]) -> str:
    name = base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
    while name in taken:
        name = f"{base}-{len(taken)}"
    taken.add(name)
    return name


def _without_heading(tokens: list[Token], tag: str) -> list[Token]:
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == tag:
            return tokens[:place] + tokens[place + 3 :]
    return tokens


def _without_repeated_captions(tokens: list[Token]) -> list[Token]:
    """The analysis repeats a figure's caption in italics below it; a page has captions of its own."""
    kept: list[Token] = []
    for token in tokens:
        kept.append(token)
        if len(kept) < 6 or token.type != "paragraph_close":
            continue
        image, caption = kept[-5], kept[-2]
        if image.type == caption.type == "inline" and _is_figure(image):
            if [child.type for child in caption.children][::2] == ["em_open", "em_close"]:
                if caption.children[1].content == image.children[0].content:
                    del kept[-3:]
    return kept


def _is_figure(token: Token) -> bool:
    return len(token.children or []) == 1 and token.children[0].type == "image"


class _Renderer(RendererHTML):
    """HTML of tokens with figures, tables that scroll, and headers for rows as well as for columns."""

    def __init__(self, figures: Mapping[str, str], draw: Draw) -> None:
        super().__init__()
        self._figures, self._draw = figures, draw
        self._heading, self._tables, self._first_cell = "", 0, False

    def heading_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        self._heading = "".join(child.content for child in tokens[place + 1].children or [])
        return f"<{tokens[place].tag}>"

    def table_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        self._tables += 1
        name = escape(f"Table {self._tables}" + (f": {self._heading}" if self._heading else ""))
        return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}"><table>\n'

    def table_close(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return "</table></div>\n"

    def tr_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        self._first_cell = True
        return "<tr>"

    def th_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return f'<th scope="col"{_alignment(tokens[place])}>'

    def td_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        if self._first_cell:
            return '<th scope="row">'
        return f"<td{_alignment(tokens[place])}>"

    def td_close(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        first, self._first_cell = self._first_cell, False
        return "</th>" if first else "</td>"

    def paragraph_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        if _is_figure(tokens[place + 1]):
            return ""
        return super().renderToken(tokens, place, options, env)

    def paragraph_close(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return "" if _is_figure(tokens[place - 1]) else super().renderToken(tokens, place, options, env)

    def image(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        path = str(tokens[place].attrs.get("src", ""))
        if path not in self._figures:
            return str(escape(tokens[place].content))
        return str(self._draw(path, self._figures[path]))


def _alignment(token: Token) -> str:
    return ' class="number"' if "right" in str(token.attrs.get("style", "")) else ""
