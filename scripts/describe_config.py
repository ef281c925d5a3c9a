"""Write workflow_config.schema.json and docs/configuration.md from the configuration's classes."""

from pathlib import Path

from fewshot_distillation.config.reference import json_schema, reference

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    (ROOT / "workflow_config.schema.json").write_text(json_schema(), encoding="utf-8")
    (ROOT / "docs" / "configuration.md").write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
