"""Checks of the configuration against what is beside it: the results folder, launch files, models that were fetched."""

import json
from pathlib import Path

import yaml

from .base import ConfigError
from .study import Study

# Ways in which accelerate may start training; others mix parameters in tensors from which no checkpoint can be made.
SHARDING = ("FSDP", "DEEPSPEED", "MULTI_GPU")


def read_launch_file(path: Path) -> dict:
    """Return a configuration file of accelerate; empty if it is none."""
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return settings if isinstance(settings, dict) else {}


def check(study: Study) -> None:
    """Check a study against the folder of results and the files of accelerate.

    Raises:
        ConfigError: see each check.
    """
    check_results_folder(study)
    check_launch_files(study)
    check_fetched_models(study, Path(study.config.results) / "models")


def check_fetched_models(study: Study, folder: Path) -> None:
    """Check layers against models that are already there; `fetch_model` checks those that aren't.

    Raises:
        ConfigError: a condition matches a layer, or an adapter a module, that its model doesn't have.
    """
    layers, modules = study.matched_layers(), study.adapted_modules()
    for model in study.models:
        manifest = folder / model / "manifest.json"
        if manifest.is_file():
            try:
                found = json.loads(manifest.read_text())
            except ValueError:  # half a file, which its job will replace
                continue
            # A manifest of another source is about to be replaced.
            if found["model"] == study.fetched_model(model).model_dump(mode="json"):
                check_layers(model, layers.get(model, []), found["num_layers"])
                check_modules(model, modules.get(model, []), found.get("linear_modules", []))


def check_results_folder(study: Study) -> None:
    """Check that the folder of results can be one.

    Raises:
        ConfigError: a part of its path is a file.
    """
    path = Path(study.config.results)
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir():
                raise ConfigError(f"results: expected a folder, '{part}' is a file; choose another path than '{path}'")
            return


def check_launch_files(study: Study) -> None:
    """Check the files that configure how training is sharded.

    Raises:
        ConfigError: a model that is trained names a missing file, or a way of sharding that isn't supported.
    """
    for model in study.models:
        path = study.config.models[model].accelerate
        if path is None:
            continue
        if not Path(path).is_file():
            raise ConfigError(
                f"models.{model}.accelerate: there is no file '{path}'; give the path of a configuration file of "
                "accelerate, seen from the working folder, or null"
            )
        settings = read_launch_file(Path(path))
        kind, version = settings.get("distributed_type"), (settings.get("fsdp_config") or {}).get("fsdp_version", 1)
        if kind not in SHARDING or (kind == "FSDP" and str(version) != "2"):
            raise ConfigError(
                f"models.{model}.accelerate: '{path}' asks for distributed_type {kind}"
                f"{f' with fsdp_version {version}' if kind == 'FSDP' else ''}; supported are "
                f"{', '.join(SHARDING)}, and by FSDP only with fsdp_version 2, as in envs/accelerate-fsdp.yaml"
            )


def check_layers(model: str, layers: list[int], num_layers: int) -> None:
    """Raise ConfigError if a layer number is outside the model."""
    outside = [layer for layer in layers if layer >= num_layers]
    if outside:
        raise ConfigError(f"conditions: layers {outside} are not in model '{model}'; expected 0 to {num_layers - 1}")


def check_modules(model: str, modules: list[str], known: list[str]) -> None:
    """Raise ConfigError if an adapter is wanted on a module that the model doesn't have."""
    unknown = [name for name in modules if name not in known]
    if unknown:
        raise ConfigError(
            f"lora.target_modules: model '{model}' has no linear module '{unknown[0]}'; it has {', '.join(known)}. Set "
            f"models.{model}.lora.target_modules to those that should get an adapter"
        )
