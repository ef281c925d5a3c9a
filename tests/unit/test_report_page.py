"""The report's page as text: what it holds, what it leaves out, and that nothing in it is more than text."""

import base64
import gzip
import json
import re
import time
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from fewshot_distillation.config.load import load
from fewshot_distillation.report.markdown import sections
from fewshot_distillation.report.questions import columns, pack, read_test
from report_study import HOSTILE, LABELS, PROMPTS, Study

ROOT = Path(__file__).resolve().parents[2]


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study") / "results")


@pytest.fixture(scope="module")
def page(study: Study) -> str:
    return study.page()


def test_sections_come_in_the_order_of_a_reader(page: str):
    titles = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    assert titles == [
        "Question and answer", "Conditions", "While training", "Checks", "What it cost", "Method", "Questions",
        "Repeat it",
    ]  # fmt: skip


def test_the_page_asks_nobody_for_anything(page: str):
    elements = Elements(page)
    for tag, attributes in elements.found:
        for name in ("src", "href", "srcset", "action", "poster"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), (tag, attributes[name][:80])
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
    (policy,) = [m["content"] for m in elements.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    assert not re.search(r"url\(|@import", page.split("</style>")[0])


def test_figures_and_their_data_lie_in_the_page(page: str):
    elements = Elements(page)
    assert [image["alt"].split(".")[0] for image in elements.of("img")] == [
        "Shows main_comparison",
        "Shows loss_curves",
    ]
    links = {link["download"]: link["href"] for link in elements.of("a") if "download" in link}
    assert {"main_comparison-tiny.csv", "loss_curves-tiny.csv", "checkpoint_curve.csv"} <= set(links)
    losses = base64.b64decode(links["loss_curves-tiny.csv"].partition(",")[2]).decode()
    assert (
        losses.startswith("step,loss,ce,distillation,lr,condition,lambda,seed,schedule\n") and losses.count("\n") == 19
    )
    assert page.count("<em>Shows") == 0, "the caption stands once"


def test_tables_have_headers(page: str):
    assert len(re.findall("<table>", page)) == len(re.findall(r"<thead>\s*<tr>\s*<th scope=\"col\"", page))
    assert not re.search(r"<tr>\s*<td", page), "every row of a table has a header"


def test_names_of_the_configuration_are_text(tmp_path: Path):
    study = Study(tmp_path / "results", hostile=True, labels=LABELS | {"layerwise": HOSTILE[0], "logit_kl": HOSTILE[2]})
    page = study.page(title=HOSTILE[1])
    elements = Elements(page)
    assert len(elements.of("script")) == 3 and not elements.of("svg")
    assert len(elements.of("img")) == 2 and not [a for a in elements.of("a") if "javascript" in a.get("href", "")]
    assert page.count("window.pwned") > 5, "they are there, as text"


def unpacked(data: str) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(data)))


def test_the_browser_has_every_answer(study: Study, page: str):
    data = unpacked(re.search(r'id="answers">([^<]*)<', page)[1])
    assert [column["name"] for column in data["columns"]] == ["Base · 0-shot", "A · 8-shot", *LABELS.values()]
    assert [row[0] for row in data["questions"]] == list(range(40))
    assert data["questions"][3][1:] == [study.test[3]["question"], study.test[3]["answer"], "3"]
    for place, column in enumerate(data["columns"]):
        answers = [row[place] for row in data["answers"]]
        assert sum(answer[2] & 1 for answer in answers) == column["right"] and column["n"] == 40
        assert all((answer[1] == str(q)) == bool(answer[2] & 1) for q, answer in enumerate(answers))
        assert [q for q, answer in enumerate(answers) if answer[2] & 2] == [9, 19, 29, 39]
        assert all((answer[1] is None) == bool(answer[2] & 4) for answer in answers)


def test_columns_are_told_apart_by_what_differs(tmp_path: Path):
    found = columns(Study(tmp_path / "results", seeds=(1, 2)).folders, LABELS, PROMPTS, "strict")
    assert [column.about["name"] for column in found][2:4] == ["B · SFT, seed 1", "B · SFT, seed 2"]


def test_what_has_no_room_is_named(study: Study):
    test = read_test(study.results / "data" / "problems" / "test.jsonl")
    found = columns(study.folders, LABELS, PROMPTS, "strict")
    whole = pack(test, found)
    assert not whole.left_out and len(whole.columns) == 5 and whole.questions == 40
    some = pack(test, found, budget=len(whole.data) * 3 // 5)
    assert 1 <= len(some.columns) < 5 and len(some.data) <= len(whole.data) * 3 // 5
    assert len(some.left_out) == 5 - len(some.columns) and some.left_out[-1] == "tiny, D · logit KL"
    assert pack(test, found, budget=1).columns == []


@pytest.mark.slow
def test_twelve_runs_on_all_of_gsm8k(tmp_path: Path):
    """As many and as long answers as the published study has, each in words of its own, which compress badly."""
    large = Study(tmp_path / "results", questions=1319, seeds=(1, 2, 3, 4), words=120)
    tracemalloc.start()
    started = time.monotonic()
    page = large.page()
    seconds, (_, peak) = time.monotonic() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(page.encode()) < 15_000_000 and seconds < 60 and peak < 2e9
    assert '"questions": 1319' in page and "There was no room" not in page


@pytest.mark.parametrize("name", ["workflow_config.yaml", "profiles/demo/demo.yaml"])
def test_the_configuration_in_a_report_makes_the_same_study(name: str):
    """What `Repeat it` shows can be used as it stands."""
    config = load(yaml.safe_load((ROOT / name).read_text()))
    shown = yaml.safe_dump(json.loads(config.model_dump_json(by_alias=True)), sort_keys=False, allow_unicode=True)
    assert load(yaml.safe_load(shown)) == config


def test_the_same_results_give_the_same_page(study: Study, page: str):
    assert study.page() == page


def test_markdown_runs_nothing_and_shows_only_the_studys_pictures():
    parts = ["# T", "before", "## A *b*", "![c](figures/x.png)", "*c*", "![d](http://198.51.100.1/y.png)", "<b>raw</b>"]
    text = "\n\n".join([*parts, "## A *b*"])
    found = sections(text, {"figures/x.png": "c"}, lambda path, caption: f"[{path} {caption}]")
    assert [(part.anchor, part.title) for part in found] == [("answer", ""), ("a-b", "A b"), ("a-b-2", "A b")]
    assert found[0].html.strip() == "<p>before</p>"
    assert "[figures/x.png c]" in found[1].html and "<em>" not in found[1].html
    assert "<img" not in found[1].html and "&lt;b&gt;raw" in found[1].html
