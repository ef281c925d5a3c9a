"""Names and paths in the configuration: each has one form, without characters that a folder or a shell minds."""

import pytest

from configurations import error_of, grid
from fewshot_distillation.config.load import load
from fewshot_distillation.config.specs import TrainSpec
from tiny import edited, study

CASES = {
    "braces in a path": (
        {"models__tiny__source": {"files": "a{b}"}},
        ["models.tiny.source.files: ", "it is 'a{b}'"],
    ),
    "braces in the folder of results": ({"results": "out/{model}"}, ["results: ", "it is 'out/{model}'"]),
    "a quote in the folder of results": ({"results": "o'ut"}, ["results: ", "o'ut"]),
    "a wildcard in the folder of results": ({"results": "out*"}, ["results: ", "it is 'out*'"]),
    "a backslash in a path": ({"published": "a\\b.yaml"}, ["published: ", "a\\\\b.yaml"]),
    # Wording.
    "a message without the question": (
        {"prompt": {"question": "Think first."}},
        ["prompt.question: the message must have {question} exactly once", "it is 'Think first.'"],
    ),
    "a message with two questions": ({"prompt": {"question": "{question} {question}"}}, ["exactly once"]),
    "an empty system message": (
        {"prompt": {"system": "  "}},
        ["prompt.system: the system message is empty; write null"],
    ),
    "a date that is none": ({"prompt": {"template_date": "2024-13-01"}}, ["prompt.template_date: ", "2024-13-01"]),
    "a number for a date": ({"prompt": {"template_date": 20240726}}, ["prompt.template_date: expected a date such as"]),
    "a misspelt key of the prompt": ({"prompt": {"sytem": "x"}}, ["prompt: unknown key 'sytem'", "'system'"]),
    "results beside the Snakefile": ({"results": "x/.."}, ["results: results need a folder of their own", "it is "]),
    "results in the folder above": ({"results": ".."}, ["results: results need a folder of their own", "it is '..'"]),
    "nothing for a path": ({"published": " "}, ["published: a path can't be empty"]),
    "a home that isn't there": (
        {"models__tiny__source": {"files": "~nobody-at-all/tiny"}},
        ["models.tiny.source.files: '~nobody-at-all/tiny' begins with '~', but no home folder"],
    ),
    "a long name of a condition": (
        {"conditions__" + "c" * 61: {"label": "long"}},
        ["conditions." + "c" * 61 + ": a name has at most 60 characters, and this one has 61"],
    ),
    "a long name of a study": ({"studies__" + "s" * 80: grid()}, ["studies.sss", "at most 60 characters"]),
}


@pytest.mark.parametrize(("changes", "expected"), CASES.values(), ids=CASES)
def test_names_and_paths_that_are_refused(changes: dict, expected: list[str]):
    text = error_of(edited(**changes))
    assert "\n" not in text
    for part in expected:
        assert part in text, text


PATHS = {
    "out/": "out",
    "./out": "out",
    "out//a/./b/": "out/a/b",
    "out/../other": "other",
    "//scratch/out": "/scratch/out",
    "~/study": "/home/ann/study",
    "~/": "/home/ann",
    "a/~/b": "a/~/b",
}


@pytest.mark.parametrize(("given", "path"), PATHS.items())
def test_a_path_has_one_form(given: str, path: str, monkeypatch: pytest.MonkeyPatch):
    """Snakemake compares paths as texts, and no program but a shell knows what `~` is."""
    monkeypatch.setenv("HOME", "/home/ann")
    files = {"train": given, "test": given}
    config = load(
        edited(
            results=given,
            published=given,
            models__tiny__accelerate=given,
            models__tiny__source={"files": given},
            datasets__problems__source={"files": files},
        )
    )
    model, dataset = config.models["tiny"], config.datasets["problems"]
    found = [config.results, config.published, model.accelerate, model.source.files]
    assert {*found, dataset.source.files.train, dataset.source.files.test} == {path}


def test_a_condition_with_the_longest_name_reaches_its_job():
    """It stands in the job's spec in the place of the label."""
    name = "c" * 60
    one = study(**{f"conditions__{name}": {"label": "x"}}, studies__main__conditions=[name])
    spec = one.train("tiny", name, "0", "42", "short")
    assert TrainSpec.model_validate_json(spec.model_dump_json(by_alias=True)) == spec


@pytest.mark.parametrize("name", ["a b", "../x", "a/b", "a{b}", ".hidden", "-x", "", "a$b", "a'b", "é"])
@pytest.mark.parametrize("catalogue", ["models", "conditions", "schedules", "teachers", "datasets", "studies"])
def test_names_with_characters_that_folders_and_shells_mind(catalogue: str, name: str):
    config = edited()
    config[catalogue][name] = next(iter(config[catalogue].values()))
    text = error_of(config)
    assert text.startswith(f"{catalogue}.") and f"it is {name!r}" in text


def test_the_published_names_are_allowed():
    names = ("qwen3-1.7b", "smollm2_135m", "A1", "logit-kl.v2")
    for name in names:
        load(edited(models={"tiny": {"source": {"files": "x"}}, name: {"source": {"files": "x"}}}))
