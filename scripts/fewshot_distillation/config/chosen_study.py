"""An optional study by its name on the command line, and the settings that go with it."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from .base import ConfigError


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a configuration with another merged into it, as Snakemake merges them."""
    from snakemake.utils import update_config

    result = copy.deepcopy(dict(below))
    update_config(result, copy.deepcopy(dict(above)))
    return result


def optional_studies(raw: Mapping[str, Any]) -> list[str]:
    """Name the optional studies of a configuration that hasn't been validated."""
    studies = raw.get("studies")
    found = studies.items() if isinstance(studies, Mapping) else ()
    return [name for name, study in found if isinstance(study, Mapping) and study.get("optional") is True]


def with_settings(raw: Mapping[str, Any], targets: Iterable[str], above: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a configuration with the settings of the optional study that is built.

    Args:
        raw: the configuration as Snakemake has merged it.
        targets: what was asked for; an optional study among them is built, as with `build: [<study>]`.
        above: overlays and the command line, which are in `raw` already and stay above the settings.

    Raises:
        ConfigError: a study with settings is built with others.
    """
    targets = set(targets)
    asked = [name for name in optional_studies(raw) if name in targets]
    build = asked or (raw.get("build") if isinstance(raw.get("build"), list) else [])
    if asked and "all" in targets:
        raise ConfigError(f"'all' and '{asked[0]}' are different studies; ask for one of them at a time")
    known = raw.get("studies") if isinstance(raw.get("studies"), Mapping) else {}
    chosen = {name: known[name] for name in build if isinstance(known.get(name), Mapping)}
    own = {name: study["settings"] for name, study in chosen.items() if isinstance(study.get("settings"), Mapping)}
    result = merged(raw, {"build": list(build)}) if build else dict(raw)
    if not any(own.values()):
        return result
    if len(chosen) > 1:
        raise ConfigError(f"build: '{next(iter(own))}' has settings of its own; build it alone, not with others")
    (settings,) = own.values()
    return merged(merged(result, settings), merged(above, {"build": list(build)}))
