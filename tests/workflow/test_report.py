"""`snakemake --report`: one file that opens without a network, with every figure and table under a heading."""

import json
import re

import pytest

from project import Project

# Loaded by every Python process of a command; leaves a mark, so that a test knows that it was.
NO_NETWORK = """\
import os, pathlib, socket
pathlib.Path(os.environ["NO_NETWORK_MARK"]).touch()
def refuse(*arguments, **options):
    raise OSError("this test has no network")
socket.socket.connect = socket.getaddrinfo = refuse
"""


def embedded(page: str, name: str) -> dict:
    """A JavaScript variable of the report's page."""
    start = re.search(rf"var {name} = (?=\{{)", page).end()
    return json.JSONDecoder().raw_decode(page[start:])[0]


@pytest.fixture(scope="module")
def page(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("NO_NETWORK_MARK", str(folder / "mark"))
        finished.run("--report", str(folder / "report.html"), fresh=True)
    assert (folder / "mark").exists()
    return (folder / "report.html").read_text()


def test_report_holds_every_result_under_a_heading(page: str, finished: Project):
    expected = {
        ("Tables", "All models"): {
            "summary.json",
            *(f"tables/{p.name}" for p in finished.path("tables").glob("*.csv")),
        },
        ("Analysis", "All models"): {"analysis.md"},
        ("Figures", "Phase 0"): {"figures/icl_gap_phase0.png"},
        ("Figures", "tiny"): {f"figures/tiny/{p.name}" for p in finished.path("figures", "tiny").glob("*.png")},
    }
    assert [len(names) for names in expected.values()] == [7, 1, 1, 5]
    categories = embedded(page, "categories")
    found = {
        (category, part): {path.removeprefix("results/") for path in paths}
        for category, parts in categories.items()
        for part, paths in parts.items()
    }
    assert found == expected


def test_every_result_has_its_file_and_a_caption(page: str):
    results = embedded(page, "results")
    assert len(results) == 14
    for path, result in results.items():
        caption = re.sub("<[^>]*>", "", result["caption"]).strip()
        assert len(caption) > 20 and "{" not in caption, path
        assert result["data_uri"].startswith("data:"), f"{path} is in the page itself"
    assert len({result["caption"] for result in results.values()}) == 14


def test_report_loads_nothing_from_elsewhere(page: str):
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*>", page)
