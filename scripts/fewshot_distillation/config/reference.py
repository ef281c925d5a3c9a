"""The configuration reference and the JSON schema, generated from the classes that validate the configuration."""

import json
import re
from typing import Any

from .config import Config

REFERENCE = r'"#/\$defs/(\w+)"'

HEAD = """# Configuration

This page is generated from the classes that validate the configuration (`make schema`). A key without a default must
be given. An overlay changes a few lines: mappings merge, lists replace, and `null` removes an entry of a catalogue.
"""


def json_schema() -> str:
    """Return the JSON schema of workflow_config.yaml, for editors."""
    return json.dumps(Config.model_json_schema(by_alias=True), indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """Write a section for each class, in the order in which keys refer to them: keys, types, defaults and meanings."""
    schema = Config.model_json_schema(by_alias=True)
    classes = schema["$defs"]
    parts = [HEAD, _section("workflow_config.yaml", schema, classes)]
    parts += [_section(_title(name), classes[name], classes) for name in _in_order(schema, classes)]
    return "\n".join(parts)


def _in_order(schema: dict[str, Any], classes: dict[str, Any]) -> list[str]:
    """Classes that the configuration refers to, each before those that only it refers to."""
    found = list(dict.fromkeys(re.findall(REFERENCE, json.dumps(schema["properties"]))))
    for name in found:
        found += [other for other in re.findall(REFERENCE, json.dumps(classes[name])) if other not in found]
    return list(dict.fromkeys(found))


def _title(name: str) -> str:
    return name.rpartition("__")[2]


def _section(title: str, schema: dict[str, Any], classes: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    lines = [f"## {title}", "", schema.get("description", "").strip(), ""]
    lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in schema["properties"].items():
        shown = json.dumps(_given(field.get("default"), field, classes), ensure_ascii=False)
        default = "" if key in required else f"`{shown}`"
        lines.append(f"| `{key}` | {_type(field)} | {default} | {_bounds(field)} |")
    return "\n".join(lines) + "\n"


def _given(value: Any, field: dict[str, Any], classes: dict[str, Any]) -> Any:
    """A default value, without the keys that have the defaults of their own section."""
    if not isinstance(value, dict):
        return value
    if "patternProperties" in field:
        (of_each,) = field["patternProperties"].values()
        return {name: _given(entry, of_each, classes) for name, entry in value.items()}
    inside = classes[field["$ref"].rpartition("/")[2]]["properties"] if "$ref" in field else {}
    return {key: entry for key, entry in value.items() if key not in inside or entry != inside[key].get("default")}


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = _title(field["$ref"].rpartition("/")[2])
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
    if "patternProperties" in field:
        (of_each,) = field["patternProperties"].values()
        return f"names, each with a {_type(of_each)}"
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
    limits = [f"{words[key]} {field[key]:.10g}" for key in words if key in field]
    return field.get("description", "") + (f" ({', '.join(limits)})" if limits else "")
