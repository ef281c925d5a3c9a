"""Names, paths and values from the configuration stay what they are, whatever a shell would make of them."""

import copy
import shutil
import subprocess
from pathlib import Path

import pytest

from project import HOSTILE_FOLDER, Project, pwned, tiny_config

# Each would leave a file named `pwned…` behind if a shell read it.
HOSTILE = 'it\'s "$(touch pwned1)" `touch pwned2` ; touch pwned3 # & touch pwned4 \\'


@pytest.fixture
def config(tmp_path: Path, tiny_source: Path) -> dict:
    source = tmp_path / f"model {HOSTILE_FOLDER}"
    shutil.copytree(tiny_source, source)
    config = copy.deepcopy(tiny_config(source))
    config["results"] = HOSTILE_FOLDER
    config["conditions"]["sft"]["label"] = HOSTILE[:60]
    config["conditions"]["layerwise"]["label"] = "$(touch pwned8)"
    config["models"]["tiny"]["chat_template"]["note"] = HOSTILE
    return config


@pytest.mark.slow
def test_hostile_values_reach_no_shell(tmp_path: Path, config: dict):
    del config["conditions"]["logit_kl"]
    config["models"]["tiny"]["chat_template"].pop("note")
    config["studies"] = {"main": {"models": ["tiny"], "conditions": ["sft", "layerwise"], "schedules": ["short"]}}
    config["baselines"] = ["zeroshot"]
    project = Project(tmp_path / "work $(touch pwned9) 'x", config)
    project.run("all")
    assert (project.folder / HOSTILE_FOLDER / "analysis.md").exists()
    table = (project.folder / HOSTILE_FOLDER / "tables/main_comparison.csv").read_text().replace('""', '"')
    assert HOSTILE[:60].replace("|", "") in table
    assert not pwned(tmp_path)


def test_commands_quote_every_value(tmp_path: Path, config: dict):
    """Nothing is run: bash is asked to read every command of the plan, with all programs but its own taken away."""
    project = Project(tmp_path / "work", config)
    output = project.run("-n", "--printshellcmds", "all")
    said = [line.partition("Shell command: ")[2] for line in output.splitlines()]
    commands = [command for command in said if command not in ("", "None")]
    assert len(commands) > 25 and any(command.startswith("printf ") for command in commands)
    project.path().parent.joinpath(HOSTILE_FOLDER, "logs").mkdir(parents=True)  # where some write what they read
    for command in commands:
        done = subprocess.run(
            ["/bin/bash", "--norc", "-c", f"python() {{ :; }}; tee() {{ :; }}; {command}"],
            cwd=project.folder,
            env={"PATH": "/nonexistent"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and not done.stderr, (command, done.stderr)
    assert not pwned(tmp_path)


def test_a_container_that_a_shell_would_misread_is_refused(tiny_source: Path):
    from fewshot_distillation.config.base import ConfigError
    from fewshot_distillation.config.load import load

    for image in ("study.sif", "/images/study-1.0.sif", "docker://ghcr.io/someone/study@sha256:0a1b"):
        assert load(tiny_config(tiny_source) | {"container": image}).container == image
    for image in ("x.sif;touch pwned;true", "$(touch pwned)", "x'y.sif", "a b", "--nv", "x.sif\n", ""):
        with pytest.raises(ConfigError, match="container"):
            load(tiny_config(tiny_source) | {"container": image})


@pytest.mark.parametrize("name", ["a b", "a;b", "$(a)", "../a", "a/b", "-a", "a'b", "a{b}", "a\nb", "ä", ""])
@pytest.mark.parametrize(
    "catalogue", ["models", "teachers", "conditions", "schedules", "datasets", "studies", "icl_gap"]
)
def test_hostile_names_are_refused(tiny_source: Path, catalogue: str, name: str):
    from fewshot_distillation.config.base import ConfigError
    from fewshot_distillation.config.load import load

    config = tiny_config(tiny_source)
    config[catalogue][name] = next(iter(config[catalogue].values())) | (
        {"label": "another"} if catalogue == "conditions" else {}
    )
    with pytest.raises(ConfigError):
        load(config)
    config[catalogue]["harmless"] = config[catalogue].pop(name)
    load(config)
