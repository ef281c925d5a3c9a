"""The exported files: an adapter and a merged model that transformers, PEFT and vLLM load."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from ..config.sources import HubModel
from ..config.specs import ExportSpec
from ..data.checkpoints import checkpoints_of, is_adapter
from ..data.manifest import read_manifest
from ..data.prompts import PromptBuilder
from ..modeling.adapters import adapt, probe
from ..modeling.load import dtype_for
from ..runtime.files import write_json, write_text
from ..runtime.provenance import commit, versions
from .card import card
from .choose import choose, results

log = logging.getLogger("fewshot_distillation")


def export(
    spec: ExportSpec, model: Path, runs: list[Path], baselines: list[Path], plain: list[Path], work: dict[str, Path]
) -> None:
    """Write `adapter` and `merged`, each with its card, and `manifest`, with what was chosen.

    Args:
        model: folder of the fetched base model.
        runs: folders of the candidates' runs, in their order.
        work: where each output is written.
    """
    choice = choose(spec.candidates, runs)
    found = results(spec, choice, baselines, plain)
    base = read_manifest(model)
    checkpoint = checkpoints_of(choice.run / "checkpoints" / "manifest.json", [choice.step])[choice.step]
    dtype = dtype_of_evaluation(spec, choice.run)
    made = {
        "dtype": str(dtype).removeprefix("torch."),
        "command": spec.command,
        "commit": commit(),
        "versions": versions(),
        "plain_prompt": _plain_prompt(spec, model),
    }
    for kind in ("adapter", "merged"):
        work[kind].mkdir(parents=True, exist_ok=True)
    kinds = ["merged"]
    if is_adapter(checkpoint):
        _adapter(spec, checkpoint, model, base, work["adapter"])
        kinds = ["adapter", *(["merged"] if _merged(checkpoint, model, dtype, work["merged"]) else [])]
    else:
        shutil.copytree(checkpoint, work["merged"], dirs_exist_ok=True)
    for kind in kinds:
        write_text(work[kind] / "README.md", card(spec, choice, found, kind, base, made))
    chosen = choice.candidate.model_dump(mode="json", by_alias=True)
    write_json(work["manifest"], {"run": str(choice.run), "step": choice.step, "rule": choice.rule, "chosen": chosen})


def _plain_prompt(spec: ExportSpec, model: Path) -> str | None:
    """How a model without a chat template is asked a question; None for one that has a template."""
    builder = PromptBuilder.of_model(model, spec.model.chat_template, spec.model.wording)
    return None if builder.is_chat else builder.template.text("A question", [])


def dtype_of_evaluation(spec: ExportSpec, run: Path) -> torch.dtype:
    """Return the precision in which the run's answers were generated, which is that of the exported weights."""
    note = run / "predictions.parquet.job.json"
    device = json.loads(note.read_text())["device"] if note.is_file() else "cpu"
    if device.startswith("cpu"):
        return dtype_for(spec.precision, torch.device("cpu"))
    return torch.float32 if spec.precision == "fp32" else torch.bfloat16


def _adapter(spec: ExportSpec, checkpoint: Path, model: Path, base: dict[str, Any], target: Path) -> None:
    shutil.copyfile(checkpoint / "adapter_model.safetensors", target / "adapter_model.safetensors")
    source = spec.model.source
    # Where the hub doesn't have the base model, the adapter finds it where the study keeps it.
    name = source.hub if isinstance(source, HubModel) else str(model.resolve())
    config = json.loads((checkpoint / "adapter_config.json").read_text())
    config |= {"base_model_name_or_path": name, "revision": base["revision"]}
    write_json(target / "adapter_config.json", config)
    _copy_tokenizer(model, target, ("config.json", "generation_config.json"))


def _merged(checkpoint: Path, model: Path, dtype: torch.dtype, target: Path) -> bool:
    """Write the merged model; return false, and write nothing, where its logits would differ from the adapter's."""
    adapted = adapt(_load(model, dtype), checkpoint).eval()
    before = probe(adapted)
    merged = adapted.merge_and_unload(safe_merge=True)
    # The fetched file is copied instead: transformers refuses to write some of those that it reads.
    merged.generation_config = GenerationConfig()
    merged.save_pretrained(target)
    (target / "generation_config.json").unlink(missing_ok=True)
    _copy_tokenizer(model, target, ("config.json",))
    # Read again as a user reads it, which shows what saving lost, such as a head of its own.
    tolerance = max(1e-3, 8 * torch.finfo(dtype).eps) * before.abs().max()
    if (probe(_load(target, dtype).eval()) - before).abs().max() <= tolerance:
        return True
    log.warning("a merged model would give other logits than the adapter, so none is written")
    shutil.rmtree(target)
    target.mkdir()
    return False


def _load(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, trust_remote_code=False)


def _copy_tokenizer(model: Path, target: Path, without: tuple[str, ...]) -> None:
    """Everything of the base model but its weights and what `without` names."""
    for path in sorted(model.iterdir()):
        is_weights = path.suffix == ".safetensors" or path.name.endswith(".index.json")
        if path.is_file() and not is_weights and path.name not in (*without, "manifest.json", "README.md"):
            shutil.copyfile(path, target / path.name)
