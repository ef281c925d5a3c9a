"""The report in a real browser, as a reader sees it on a desk and on a phone."""

import importlib.util
import struct
from pathlib import Path

import pandas as pd
import pytest

from report_study import HOSTILE, LABELS, Study
from window import Window

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
B, C = 2, 3  # columns of the browser: after the base model's two


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Texts that a browser would act on, if it took them for more than text, in every place that data reaches."""
    labels = LABELS | {"layerwise": f"C · {HOSTILE[1]}", "logit_kl": f"D · {HOSTILE[0]}"}
    return Study(tmp_path_factory.mktemp("study") / "results", questions=100, hostile=True, labels=labels)


@pytest.fixture(scope="module")
def report(study: Study) -> Path:
    path = study.results / "report.html"
    path.write_text(study.page())
    return path


def right(study: Study, column: int) -> set[int]:
    table = pd.read_parquet(study.folders[column] / "judged.parquet")
    last = table[table["step"] == table["step"].max()]
    return set(last.loc[last["correct"], "question_index"])


def test_three_clicks_to_what_b_gets_right_and_c_wrong(opened, study: Study, report: Path):
    opened.open(report)
    page = opened.page
    page.get_by_role("link", name="Questions").click()
    wanted = sorted(right(study, B) - right(study, C))
    page.locator(".pairs tbody tr").nth(B).locator("td").nth(C).get_by_role(
        "button", name=f"{len(wanted)} questions"
    ).click()
    opened.unfold(page.locator(".question").first)
    assert page.evaluate("window.clicks") == 3
    first = page.locator(".question").first
    assert first.locator(".inside > .text").first.inner_text() == study.test[wanted[0]]["question"]
    cards = first.locator(".answers > article")
    assert cards.count() == 5
    assert "✓ right" in cards.nth(B).inner_text() and "✗ wrong" in cards.nth(C).inner_text()
    assert f"answer {wanted[0]}, 60 tokens" in cards.nth(B).inner_text()
    assert page.get_by_role("status").inner_text() == f"{len(wanted)} of 100 questions"
    assert opened.questions() == [f"Question {q}" for q in wanted][:30]


def test_filters(opened, study: Study, report: Path):
    opened.open(report, "#questions")
    page = opened.page
    page.wait_for_selector(".question")
    assert page.get_by_role("status").inner_text() == "100 of 100 questions"
    page.get_by_label("by B · SFT").select_option("cut at the length limit")
    assert opened.questions() == [f"Question {q}" for q in range(9, 100, 10)]
    page.get_by_label("by A · 8-shot").select_option("right")
    assert opened.questions() == [f"Question {q}" for q in range(9, 100, 10) if q in right(study, 1)]
    page.get_by_role("button", name="Show all questions").click()
    words = study.test[57]["question"].split()[:12]
    page.get_by_label("Words in question or answers").fill(" ".join(words).upper())
    assert opened.questions() == ["Question 57"]
    page.get_by_label("Words in question or answers").fill("no such words anywhere")
    assert opened.questions() == [] and page.get_by_role("status").inner_text() == "0 of 100 questions"


def test_answers_of_some_conditions_only(opened, report: Path):
    opened.open(report, "#questions")
    page = opened.page
    page.wait_for_selector(".question")
    page.get_by_text("Show the answers of …").click()
    page.get_by_label("A · 8-shot", exact=True).uncheck()
    assert opened.questions()[0] == "Question 0", "the filter is as it was"
    opened.unfold(page.locator(".question").first)
    shown = page.locator(".question").first.locator("h4").all_inner_texts()
    assert len(shown) == 4 and not any("8-shot" in name for name in shown)
    assert page.locator(".question .marks").first.locator(".mark").count() == 4
    page.get_by_label("A · 8-shot", exact=True).check()
    opened.unfold(page.locator(".question").first)
    assert page.locator(".question").first.locator("h4").count() == 5


def test_a_link_opens_one_question(opened, report: Path):
    opened.open(report, "#question-42")
    page = opened.page
    page.wait_for_selector(".question[open] .answers")
    assert opened.questions() == ["Question 42"]
    page.get_by_role("button", name="Show all questions").click()
    assert len(opened.questions()) >= 30
    opened.unfold(page.locator(".question").nth(7))
    page.get_by_role("link", name="Link to this question").click()
    page.wait_for_function("document.querySelectorAll('.question').length === 1")
    assert opened.questions() == ["Question 7"] and page.url.endswith("#question-7")


def test_questions_appear_as_one_scrolls(opened, report: Path):
    opened.open(report, "#questions")
    page = opened.page
    page.wait_for_selector(".question")
    before = len(opened.questions())
    assert before < 100, "not everything is drawn at once"
    for _ in range(100):
        page.mouse.wheel(0, 20000)
        page.wait_for_timeout(100)
        if len(opened.questions()) == 100:
            break
    assert opened.questions() == [f"Question {q}" for q in range(100)]


def test_nothing_in_the_data_runs_or_asks(opened, report: Path):
    opened.open(report, "#questions")
    page = opened.page
    page.wait_for_selector(".question")
    for question in page.locator(".question").all()[: len(HOSTILE)]:
        opened.unfold(question)
    for details in page.locator("#repeat summary").all():
        details.click()
    page.wait_for_timeout(300)
    assert page.evaluate("window.pwned") is None
    assert HOSTILE[0] in page.locator(".question").first.inner_text()
    assert HOSTILE[1] in page.locator(".pairs").inner_text()
    assert len(opened.requests) == 1 and opened.requests[0].startswith("file://"), opened.requests
    assert opened.complaints == []


def test_the_page_is_no_wider_than_its_window(opened, report: Path):
    opened.open(report, "#question-3")
    opened.page.wait_for_selector(".answers")
    width = opened.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


def test_everything_can_be_reached_by_keyboard(opened, report: Path):
    opened.open(report, "#questions")
    page = opened.page
    page.wait_for_selector(".question")
    page.locator(".pairs button").first.focus()
    page.keyboard.press("Enter")
    assert "of 100 questions" in page.evaluate("document.activeElement.textContent")
    page.locator(".question summary").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".question[open] .answers")
    assert page.locator(".question[open]").count() == 1
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_accessibility(opened, report: Path):
    """axe-core's rules, among them contrast, names of controls, headers of tables and texts for pictures."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed: `make test` does that"
    )
    opened.open(report, "#question-3")
    opened.page.wait_for_selector(".answers")
    opened.page.get_by_role("button", name="Show all questions").click()
    opened.unfold(opened.page.locator(".question").first)
    found = axe.Axe().run(opened.page).response
    assert [(rule["id"], [node["html"][:160] for node in rule["nodes"]]) for rule in found["violations"]] == []
    passed = {rule["id"] for rule in found["passes"]}
    assert {"color-contrast", "image-alt", "label", "select-name", "html-has-lang", "document-title"} <= passed


def test_pictures_of_the_report(browser, report: Path, tmp_path: Path):
    """Those of README and docs, by the script that takes them."""
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "docs" / "screenshots.py")
    screenshots = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(screenshots)
    sizes = {}
    for path in screenshots.take(browser, report, tmp_path):
        sizes[path.stem] = struct.unpack(">II", path.read_bytes()[16:24])
    assert {name: width for name, (width, _) in sizes.items()} == {
        "report": 1100, "report_questions": 1100, "report_phone": 780,
    }  # fmt: skip
    assert 400 < sizes["report"][1] < 2000, "down to the main figure"


def test_without_scripts_it_can_still_be_read(browser, report: Path):
    window = Window(browser, 1200, 900, "light", java_script_enabled=False)
    window.open(report)
    assert window.page.get_by_text("JavaScript, which is switched off").is_visible()
    assert window.page.get_by_role("heading", name="Conditions").is_visible()
    window.context.close()


def test_on_paper(browser, report: Path, tmp_path: Path):
    """What a printer gets: the analysis, not the controls."""
    window = Window(browser, 1200, 900, "dark")
    window.open(report, "#questions")
    window.page.wait_for_selector(".question")
    window.page.emulate_media(media="print")
    assert not window.page.locator("#browser").is_visible() and not window.page.get_by_role("navigation").is_visible()
    assert window.page.get_by_text("Open this page in a browser").is_visible()
    assert window.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert window.page.pdf()[:4] == b"%PDF"
    window.context.close()
