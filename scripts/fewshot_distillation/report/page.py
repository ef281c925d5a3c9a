"""The page itself: everything that belongs into report.html, put into the template."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from ..analysis.logs import read_logs
from ..config.specs import ReportSpec
from . import origin
from .downloads import data_of, offered, picture
from .markdown import sections
from .questions import Packed, columns, pack, read_test

TEMPLATES = Path(__file__).parent / "templates"
# Commands of at most so many jobs are listed; the logs have all of them.
COMMANDS = 300


def build(
    spec: ReportSpec, configuration: dict[str, Any], analysis: str, summary: dict[str, Any], results: Path,
    folders: list[Path], test: Path,
) -> str:  # fmt: skip
    """Build the whole page.

    Args:
        configuration: all settings, defaults included.
        analysis: analysis.md, whose text the page shows.
        summary: content of summary.json.
        results: results folder, with tables, figures, logs and notes of all jobs.
        folders: of baselines and runs, with predictions and judged answers, in the order in which readers see them.
        test: test.jsonl.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    metrics = [path for folder in folders if (path := folder / "metrics.csv").is_file()]
    figure = environment.get_template("figure.html.j2")

    def draw(path: str, caption: str) -> Markup:
        address, width, height = picture(results / path)
        data = data_of(path, results, metrics)
        return Markup(figure.render(address=address, width=width, height=height, caption=caption, path=path, data=data))

    packed = pack(read_test(test), columns(folders, spec.labels, spec.prompts, summary["metric"]))
    style, script = _own("report.css"), _own("report.js")
    logs = read_logs(results)
    return environment.get_template("report.html.j2").render(
        title=spec.title,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        sections=sections(analysis, spec.figures, draw),
        packed=packed,
        listed=Markup(_for_script(packed)),
        tables=[offered(path.name, path.read_bytes()) for path in sorted((results / "tables").glob("*.csv"))],
        configuration=yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True, width=100),
        surroundings=origin.surroundings(origin.notes(results), logs),
        commands=[log for log in logs if log.command][:COMMANDS],
        jobs=len(logs),
    )


def _own(name: str) -> str:
    """A part of the page that is ours, and is therefore not escaped."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    assert "</script" not in text and "</style" not in text
    return text


def _policy(style: str, script: str) -> str:
    """A policy by which a browser runs this style and this script only, and asks nobody for anything."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    allowed = {"default-src": "'none'", "style-src": digest(style), "script-src": digest(script), "img-src": "data:"}
    allowed |= {"base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{what} {where}" for what, where in allowed.items())


def _for_script(packed: Packed) -> str:
    """What the page's script needs before the answers are unpacked, as JSON that can't end its element."""
    return json.dumps({"columns": packed.columns, "questions": packed.questions}).replace("<", "\\u003c")
