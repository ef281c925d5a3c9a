"""What is generated from the configuration's classes is up to date, and says something about every key."""

import json
import re
from pathlib import Path

import pytest

from fewshot_distillation.config.config import Config
from fewshot_distillation.config.reference import json_schema, reference

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("path", "generate"), [("workflow_config.schema.json", json_schema), ("docs/configuration.md", reference)]
)
def test_generated_files_are_up_to_date(path: str, generate):
    assert (ROOT / path).read_text(encoding="utf-8") == generate(), f"{path}: run scripts/describe_config.py"


def test_every_key_is_described():
    schema = json.loads(json_schema())
    for name, part in {"Config": schema, **schema["$defs"]}.items():
        for key, field in part.get("properties", {}).items():
            assert field.get("description"), f"{name}.{key} has no description"


def test_the_reference_names_every_key():
    text = reference()
    assert all(f"| `{field.alias or name}` |" in text for name, field in Config.model_fields.items())
    assert "| `lambda` |" in text and "| `lam` |" not in text


def test_the_reference_links_every_section_and_nothing_else():
    text = reference()
    sections = {title.lower() for title in re.findall(r"^## (.+)$", text, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) == sections - {"workflow_config.yaml"}
    assert "see below" not in text
    without_section = re.findall(r"^\| `(\w+)` \| (?:object|any) \|", text, re.M)
    assert sorted(without_section) == ["lora", "settings"], "parts of another section, and of a whole configuration"
