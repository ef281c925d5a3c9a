"""Commands in the documentation begin with their targets: `--configfile` takes every word behind it for a file."""

import re
import textwrap
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_args

from fewshot_distillation.config.chosen_study import merged
from fewshot_distillation.config.load import load

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "workflow_config.yaml",
    ROOT / "Makefile",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(path for path in (ROOT / "profiles").rglob("*.yaml") if not path.is_symlink()),
]
COMMAND = re.compile(r"(?<![\w./-])snakemake ((?:-{1,2}[a-z]|[a-z]+ -|[a-z_]+/|all\b|[a-z]+_)[^`\"\n#|)]*)")


def commands() -> list[tuple[str, str]]:
    """Each command once, with a document that has it."""
    found = {match[1].strip(): path for path in DOCUMENTS for match in COMMAND.finditer(path.read_text())}
    return [(str(path.relative_to(ROOT)), command) for command, path in found.items()]


def test_there_are_commands():
    assert len(commands()) > 10 and any("--configfile" in command for _, command in commands())


@pytest.mark.parametrize(("path", "command"), commands())
def test_targets_come_first(path: str, command: str):
    """What Snakemake itself takes for targets and for files."""
    _, arguments = parse_args(re.sub(r"--profile \S+", "", command).split())
    options = {"--lint", "--report", "--list-target-rules"}
    if not options & set(command.split()):
        assert arguments.targets, f"{path}: `snakemake {command}` names no target"
        assert command.split()[0] in arguments.targets
    assert all(str(file).endswith(".yaml") for file in arguments.configfile or ())


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_study_that_newcomers_write_is_valid(page: str):
    """What a page says to put into a file of one's own, on top of the shipped configuration."""
    block = re.search(r"(?:^ {4}[^\n]*\n)*^ {4}models:\n(?:^ {4}[^\n]*\n)+", (ROOT / page).read_text(), re.M)[0]
    shipped = yaml.safe_load((ROOT / "workflow_config.yaml").read_text())
    config = load(merged(shipped, yaml.safe_load(textwrap.dedent(block))))
    assert list(config.built) == ["main"] and config.studies["main"].models == ["my-model"]


def test_a_target_behind_the_configuration_is_taken_for_a_file():
    """Why: if Snakemake ever learns to tell them apart, the sentence in the README can go."""
    _, arguments = parse_args(["--configfile", "my.yaml", "all"])
    assert not arguments.targets and [str(file) for file in arguments.configfile] == ["my.yaml", "all"]


def test_every_page_is_in_the_site_s_navigation():
    pages = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(pages) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
