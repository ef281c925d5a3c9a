"""The strict base of every configuration class, and errors that name what to change."""

import difflib
import os
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    model_validator,
)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

NAME_LENGTH = 60


def _short_name(name: str) -> str:
    if len(name) > NAME_LENGTH:
        raise ValueError(f"a name has at most {NAME_LENGTH} characters, and this one has {len(name)}; shorten it")
    return name


# Names become folders, wildcards, labels and parts of rule names, so only a few harmless characters are allowed.
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN), AfterValidator(_short_name)]


def _plain_path(path: Any) -> Any:
    """A path as it is compared and joined everywhere: `~` is expanded, without double or trailing slashes."""
    if not isinstance(path, str):
        return path
    if not path.strip():
        raise ValueError("a path can't be empty")
    plain = os.path.normpath(os.path.expanduser(path))
    plain = f"/{plain.lstrip('/')}" if plain.startswith("//") else plain
    if plain.startswith("~"):
        raise ValueError(f"'{path}' begins with '~', but no home folder was found for it; write the whole path")
    return plain


# Paths become inputs of rules, where braces would be wildcards. Snakemake writes them into the command line of a
# cluster's job as Python would, between quotes that a quote or backslash in the path ends.
LocalPath = Annotated[str, BeforeValidator(_plain_path), StringConstraints(pattern=r"^[^{}<>'\"\\\n]+$")]


class ConfigError(ValueError):
    """The configuration is wrong; the message is one sentence a line, for the person who edits it."""


def suggest(name: object, valid: Iterable[str]) -> str:
    """Suggest the nearest valid name and list the allowed ones, as in "did you mean 'x'? Allowed: x, y"."""
    valid = sorted(str(v) for v in valid)
    near = nearest(name, valid)
    return f"{near} Allowed: {', '.join(valid)}" if near else f"allowed: {', '.join(valid) or 'none defined'}"


def nearest(name: object, valid: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the nearest valid name; an empty text if none is near."""
    near = difflib.get_close_matches(str(name), sorted(valid), n=1)
    return f"did you mean '{near[0]}'?" if near else ""


class neutral:
    """Declares, as `exclude_if`, the value at which a field added later changes nothing: specs leave it out then.

        label_smoothing: float = Field(0.0, exclude_if=neutral(0.0), description="…")

    So results from before the field was added stay up to date. The value must be the field's default, with which a spec
    without the field is read. To change the default later, remove the declaration, and every spec has the field.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, value: Any) -> bool:
        return value == self.value


class Strict(BaseModel):
    """A configuration class in which an unknown key is an error that names the nearest valid one."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True, allow_inf_nan=False)
    # Keys of earlier versions: what each is called now (with dots, if it has moved), or what to set in its place.
    renamed: ClassVar[dict[str, str]] = {}
    replaced: ClassVar[dict[str, str]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        for name, field in cls.model_fields.items():
            if isinstance(field.exclude_if, neutral) and not field.exclude_if(field.default):
                raise TypeError(
                    f"{cls.__name__}.{name}: the neutral value {field.exclude_if.value!r} isn't the default "
                    f"{field.default!r}; remove exclude_if, so that results made with another default become stale"
                )

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            fields = {field.alias or name for name, field in cls.model_fields.items()}
            unknown = [key for key in data if key not in fields and key not in cls.model_fields]
            for key in unknown:
                if key in cls.replaced:
                    raise ValueError(f"'{key}' is no longer a key; {cls.replaced[key]}")
                if key in cls.renamed:
                    new = cls.renamed[key]
                    moved = f"'{key}' is no longer a key here; move it to '{new}'"
                    raise ValueError(moved if "." in new else f"'{key}' is now called '{new}'; rename the key")
            # A key that an overlay sets to null is one that it takes away, as when a source becomes another kind.
            if wrong := [key for key in unknown if data[key] is not None]:
                if len(wrong) == 1:
                    raise ValueError(f"unknown key '{wrong[0]}'; {suggest(wrong[0], fields)}")
                hints = (f" ({near})" if (near := nearest(key, fields)) else "" for key in wrong)
                each = ", ".join(f"'{key}'{hint}" for key, hint in zip(wrong, hints, strict=True))
                raise ValueError(f"unknown keys {each}; allowed: {', '.join(sorted(fields))}")
            data = {key: value for key, value in data.items() if key not in unknown}
        return data


def _without_nulls(value: Any) -> Any:
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


# In a catalogue an entry set to null is removed, so that an overlay can take away what it inherits.
DropNulls = BeforeValidator(_without_nulls)

# Tags of discriminated unions, which pydantic adds to an error's location and no user has written.
UNION_TAGS = {"hub", "files", "wheel", "generator", "none", "hidden_states", "logits", "targets"}


def _location(parts: tuple[int | str, ...]) -> str:
    kept: list[str] = []
    for before, part in zip(("",) + parts, parts, strict=False):
        of_targets = isinstance(before, int) and kept[-2:-1] == ["targets"]
        after_choice = before == "source" or (kept == ["conditions", before]) or of_targets
        # "[key]" marks the part before it as the wrong name.
        if not (after_choice and part in UNION_TAGS) and part != "[key]":
            kept.append(str(part))
    return ".".join(kept)


def _no_mapping(where: str, given: Any) -> str:
    if given is None:
        name = where.rpartition(".")[2]
        return f"expected keys with values, got null; to remove one entry: {name}: {{<entry>: null}}"
    return f"expected keys with values, got {given!r}"


def explain(error: ValidationError) -> str:
    """Return one sentence for each error: the key, what is wrong, and the value that was given."""
    lines = []
    for item in error.errors():
        message = item["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        where = _location(item["loc"])
        given = item["input"]
        if item["type"] in ("dict_type", "model_type"):
            message = _no_mapping(where, given)
            given = {}
        shown = "" if isinstance(given, dict) or item["type"] == "missing" else f" (it is {given!r})"
        lines.append(f"{where}: {message}{shown}" if where else f"{message}{shown}")
    return "\n".join(dict.fromkeys(lines))
