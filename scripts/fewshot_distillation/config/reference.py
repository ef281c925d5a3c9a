"""The configuration reference and the JSON schema, generated from the classes that validate the configuration."""

import json
from typing import Any

from .config import Config

HEAD = """# Configuration

This page is generated from the classes that validate the configuration (`make schema`). A key without a default must
be given. An overlay changes a few lines: mappings merge, lists replace, and `null` removes an entry of a catalogue.
"""


def json_schema() -> str:
    """JSON schema of workflow_config.yaml, for editors."""
    return json.dumps(Config.model_json_schema(by_alias=True), indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """One section for each class, with its keys, types, defaults and meanings."""
    schema = Config.model_json_schema(by_alias=True)
    parts = [HEAD, _section("workflow_config.yaml", schema)]
    parts += [
        _section(name.rpartition("__")[2], part) for name, part in schema["$defs"].items() if "properties" in part
    ]
    return "\n".join(parts)


def _section(title: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    lines = [f"## {title}", "", schema.get("description", "").strip(), ""]
    lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in schema["properties"].items():
        default = "" if key in required else f"`{_short(field.get('default'))}`"
        lines.append(f"| `{key}` | {_type(field)} | {default} | {_bounds(field)} |")
    return "\n".join(lines) + "\n"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else "see below"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2].rpartition("__")[2]
        return f"[{name}](#{name.lower()})"
    for union in ("anyOf", "oneOf"):
        if union in field:
            return " or ".join(_type(option) for option in field[union])
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        if "prefixItems" in field:
            return f"list of {len(field['prefixItems'])} {_type(field['prefixItems'][0])}s"
        return f"list of {_type(field['items'])}"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"mapping to {_type(field['additionalProperties'])}"
    return field.get("type", "any")


def _bounds(field: dict[str, Any]) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    limits = [f"{words[key]} {field[key]:g}" for key in words if key in field]
    return field.get("description", "") + (f" ({', '.join(limits)})" if limits else "")
