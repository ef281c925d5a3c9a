"""From the configuration to jobs: which runs there are, and the spec of each job."""

import json
from pathlib import Path

import yaml

from ..tasks import task_modules, task_of
from .base import ConfigError
from .catalogue import BASE, Lora
from .conditions import QUESTION, REFERENCE
from .config import Config
from .digests import template_digest
from .prompts import Prompts
from .runs import Run, Runs
from .specs import (
    ActivationsSpec,
    AggregateSpec,
    AnalysisSpec,
    DatasetSpec,
    EvaluateSpec,
    FetchDatasetSpec,
    FetchModelSpec,
    GenerationSpec,
    IclGapSummarySpec,
    LogitsSpec,
    ModelSpec,
    PlotSpec,
    ReportSpec,
    ScoreSpec,
    SignalSpec,
    TrainSpec,
)
from .targets import POSITIONS, Target

# How accelerate may start training; what else it knows mixes parameters in tensors that a checkpoint can't be made of.
SPREAD = ("FSDP", "DEEPSPEED", "MULTI_GPU")

# The rules that compute with a model, each with the entry of `models.<model>.gpus` that says on how many GPUs.
# `precompute_logits` has none: it reads the states that the teacher has computed, and one GPU is enough.
GPU_RULES = {
    "precompute_activations": "teacher",
    "audit_signal": "teacher",
    "train": "train",
    "baseline": "evaluate",
    "write_answers": "evaluate",
    "eval_checkpoint": "evaluate",
    "eval_validation": "evaluate",
    "precompute_logits": None,
}


def read_launch_file(path: Path) -> dict:
    """A configuration file of accelerate; empty if it is none."""
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return settings if isinstance(settings, dict) else {}


class Study(Runs):
    """All runs that the configuration asks for, and the spec of every job."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.prompts = Prompts(config)
        self.dataset = DatasetSpec(name=config.dataset, **dict(config.datasets[config.dataset]))

    @property
    def dataset_modules(self) -> list[str]:
        """Package modules that decide what is fetched, as code digests name them."""
        generator = getattr(self.dataset.source, "generator", None)
        return [*task_modules(self.dataset.task), *([f"data.{generator}"] if generator else [])]

    @property
    def scorer_modules(self) -> list[str]:
        """Package modules that decide how answers are scored, as code digests name them."""
        return task_modules(self.dataset.task, self.config.scorers)

    def gpus(self, rule: str, model: str, here: int = 0) -> int:
        """GPUs of a model's job: a server answers without any, and `here` is all that a machine has, if known."""
        kind = GPU_RULES[rule]
        if kind == "evaluate" and self.config.evaluation.backend == "server":
            return 0
        wanted = 1 if kind is None else getattr(self.config.models[model].gpus, kind)
        return min(wanted, here) if here else wanted

    @staticmethod
    def process_per_gpu(rule: str) -> bool:
        """Whether a job has a process for each GPU; where answers are generated, vLLM uses all of them from one."""
        return GPU_RULES[rule] in ("teacher", "train")

    def check_fetched_models(self, folder: Path) -> None:
        """Check layers against models that are already there; `fetch_model` checks those that aren't.

        Raises:
            ConfigError: a condition matches a layer, or an adapter a module, that its model doesn't have.
        """
        layers, modules = self.matched_layers(), self.adapted_modules()
        for model in self.models:
            manifest = folder / model / "manifest.json"
            if manifest.is_file():
                try:
                    found = json.loads(manifest.read_text())
                except ValueError:  # half a file, which its job will replace
                    continue
                # A manifest of another source is about to be replaced.
                if found["model"] == self.model_spec(model).model_dump(mode="json"):
                    check_layers(model, layers.get(model, []), found["num_layers"])
                    check_modules(model, modules.get(model, []), found.get("linear_modules", []))

    def check_launch_files(self) -> None:
        """Check the files which say how training is spread.

        Raises:
            ConfigError: a model that is trained names a missing file, or one that spreads it in a way not provided for.
        """
        for model in self.models:
            path = self.config.models[model].accelerate
            if path is None:
                continue
            if not Path(path).is_file():
                raise ConfigError(
                    f"models.{model}.accelerate: there is no file '{path}'; give the path of a configuration file of "
                    "accelerate, seen from the working folder, or null"
                )
            settings = read_launch_file(Path(path))
            kind, version = settings.get("distributed_type"), (settings.get("fsdp_config") or {}).get("fsdp_version", 1)
            if kind not in SPREAD or (kind == "FSDP" and str(version) != "2"):
                raise ConfigError(
                    f"models.{model}.accelerate: '{path}' asks for distributed_type {kind}"
                    f"{f' with fsdp_version {version}' if kind == 'FSDP' else ''}; training can be spread by "
                    f"{', '.join(SPREAD)}, and by FSDP only with fsdp_version 2, as in envs/accelerate-fsdp.yaml"
                )

    # --- specs: one method a rule, with the rule's wildcards ---------------------------------------------------------

    def model_spec(self, name: str) -> ModelSpec:
        model = self.config.models[name]
        return ModelSpec(name=name, source=model.source, chat_template=model.chat_template)

    def fetch_model(self, model: str) -> FetchModelSpec:
        return FetchModelSpec(model=self.model_spec(model))

    def fetch_dataset(self, dataset: str) -> FetchDatasetSpec:
        return FetchDatasetSpec(dataset=self.dataset)

    def _prompt(self, model: str, prompt: str) -> dict:
        """What a `PromptSpec` has; labels are for readers only."""
        teacher = self.prompts.all[prompt].model_copy(update={"label": None})
        return {
            "model": self.model_spec(model),
            "dataset": self.dataset,
            "teacher": teacher,
            "labelled": self.config.labelled if teacher.pool == "labelled" else None,
            "max_prompt_tokens": self.config.max_prompt_tokens,
            "precision": self.config.precision,
        }

    def baseline(self, model: str, prompt: str, questions: str) -> GenerationSpec:
        evaluation = self.config.evaluation.model_copy(update={"questions": self.prompts.questions[questions]})
        return GenerationSpec(**self._prompt(model, prompt), split="test", evaluation=evaluation)

    def write_answers(self, model: str, teacher: str) -> GenerationSpec:
        evaluation = self.config.evaluation.model_copy(update={"questions": None})
        return GenerationSpec(**self._prompt(model, teacher), split="train", evaluation=evaluation)

    def targets(self, condition: str) -> list[tuple[Target, str]]:
        """Each target of a condition, with the text at which its teacher's values are cached."""
        chosen = self.config.conditions[condition]
        return [(t, QUESTION if t.span in POSITIONS else chosen.answers) for t in chosen.all_targets]

    @property
    def teachers_in_use(self) -> list[tuple[str, str, str]]:
        """Model, teacher and text of every cache that a run learns from."""
        found = {(run.model, t.teacher, text) for run in self.runs for t, text in self.targets(run.condition)}
        return sorted(found)

    def _targets_of(self, teacher: str, text: str, kind: str) -> list[Target]:
        """Targets of trained conditions of a kind that a teacher's cache serves."""
        every = [each for name in self.trained for each in self.targets(name)]
        return [t for t, where in every if (t.teacher, where, t.target) == (teacher, text, kind)]

    def precompute_activations(self, model: str, teacher: str, text: str) -> ActivationsSpec:
        layers: set[int] = set()
        if text != QUESTION:
            layers = {layer for t in self._targets_of(teacher, text, "hidden_states") for layer in t.layers}
        return ActivationsSpec(**self._prompt(model, teacher), teacher_name=teacher, text=text, layers=sorted(layers))

    def _logits_in_use(self, teacher: str, text: str) -> tuple[list[int], list[float]]:
        """Every top k and temperature at which a condition reads a teacher's logits, and T = 1; ascending."""
        readers = self._targets_of(teacher, text, "logits")
        return sorted({c.top_k for c in readers}) or [1024], sorted({1.0, *(c.temperature for c in readers)})

    def precompute_logits(self, model: str, teacher: str, text: str) -> LogitsSpec:
        top_k, temperatures = self._logits_in_use(teacher, text)
        activations = self.precompute_activations(model, teacher, text)
        return LogitsSpec(activations=activations, top_k=top_k[-1], temperatures=temperatures)

    def audit_signal(self, model: str, teacher: str, text: str) -> SignalSpec:
        top_k, temperatures = self._logits_in_use(teacher, text)
        activations = self.precompute_activations(model, teacher, text)
        return SignalSpec(activations=activations, top_k=top_k, temperatures=temperatures)

    def train(self, model: str, condition: str, lam: str, seed: str, schedule: str) -> TrainSpec:
        chosen, variant = self.config.conditions[condition], self.variants[schedule]
        learning, recipe = chosen.learning, self.config.training[variant.recipe]
        named = {t.teacher for t in learning.targets} | {learning.answers} - {REFERENCE}
        teachers = {name: self.config.teachers[name].model_copy(update={"label": None}) for name in sorted(named)}
        by_labels = learning.examples != "all" or learning.sft_examples
        settings = self.config.models[model]
        # Where all weights are trained no setting of an adapter counts.
        own = {"lora": recipe.lora_of(settings) if recipe.adapter == "lora" else Lora()}
        if settings.micro_batch_tokens is not None:
            own["micro_batch_tokens"] = settings.micro_batch_tokens
        return TrainSpec(
            model=self.model_spec(model),
            dataset=self.dataset,
            teachers=teachers,
            condition_name=condition,
            learning=learning,
            lam=float(lam),
            seed=int(seed),
            schedule_name=variant.schedule,
            schedule=self.config.schedules[variant.schedule],
            training=recipe.model_copy(update=own),
            labelled=self.config.labelled if by_labels else None,
            train_examples=variant.train_examples,
            precision=self.config.precision,
        )

    def eval_checkpoint(self, model: str, condition: str, lam: str, seed: str, schedule: str) -> EvaluateSpec:
        return EvaluateSpec(
            model=self.model_spec(model),
            dataset=self.dataset,
            checkpoints=self.config.schedules[self.variants[schedule].schedule].checkpoints,
            evaluation=self.config.evaluation,
            max_prompt_tokens=self.config.max_prompt_tokens,
            precision=self.config.precision,
        )

    def eval_validation(self, **wildcards: str) -> EvaluateSpec:
        """As on the test split, with every question."""
        spec = self.eval_checkpoint(**wildcards)
        return spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"questions": None})})

    def _score(self, **identity: str | int | float) -> ScoreSpec:
        config = self.config
        return ScoreSpec(
            identity=identity,
            task=self.dataset.task,
            scorers=config.scorers,
            metric=config.metric,
            confidence=config.confidence,
        )

    def score_run(self, model: str, condition: str, lam: str, seed: str, schedule: str) -> ScoreSpec:
        variant = self.variants[schedule]
        extra = {} if variant.train_examples is None else {"train_examples": variant.train_examples}
        return self._score(
            model=model,
            condition=condition,
            **{"lambda": float(lam)},
            seed=int(seed),
            schedule=schedule,
            recipe=variant.recipe,
            **extra,
        )

    def score_validation(self, **wildcards: str) -> ScoreSpec:
        spec = self.score_run(**wildcards)
        return spec.model_copy(update={"identity": spec.identity | {"split": "validation"}})

    def score_baseline(self, model: str, prompt: str, questions: str) -> ScoreSpec:
        return self._score(model=model, condition=BASE, teacher=prompt)

    def score_answers(self, model: str, teacher: str) -> ScoreSpec:
        return self._score(model=model, condition=BASE, teacher=teacher, split="train")

    def icl_gap_summary(self, phase: str) -> IclGapSummarySpec:
        gap = self.config.icl_gap[phase]
        return IclGapSummarySpec(phase=phase, min_gap=gap.min_gap, min_floor=gap.min_floor)

    @property
    def labels(self) -> dict[str, str]:
        return {name: condition.label for name, condition in self.config.conditions.items()}

    def plot(self, figure: str, model: str | None = None) -> PlotSpec:
        plots = self.config.plots
        return PlotSpec(
            figure=figure,
            model=model,
            labels=self.labels,
            lambdas={name: condition.lam for name, condition in self.config.conditions.items()},
            dpi=plots.dpi,
            width=plots.width,
            font_size=plots.font_size,
            confidence=self.config.confidence,
        )

    @property
    def plain(self) -> str | None:
        """The condition without a teacher that the others are measured against."""
        return next((name for name, condition in self.trained.items() if not condition.all_targets), None)

    def aggregate(self) -> AggregateSpec:
        def rows(runs: list[Run]) -> list[tuple[str, str, float, int, str]]:
            return [(r.model, r.condition, float(r.lam), r.seed, r.schedule) for r in runs]

        taught = {name: condition.learning for name, condition in self.trained.items() if condition.all_targets}
        return AggregateSpec(
            dataset=self.config.dataset,
            labels=self.labels,
            conditions=taught,
            plain=self.plain,
            main={model: rows(self.main_runs(model)) for model in self.models},
            sweeps={model: rows(self.sweep_runs(model)) for model in self.models},
            confidence=self.config.confidence,
            scorers={name: task_of(self.dataset.task).scorers[name].right for name in self.config.scorers},
            metric=self.config.metric,
        )

    def analysis(self, figures: dict[str, str]) -> AnalysisSpec:
        told = {"dataset", "teachers", "schedules", "lora", "training", "evaluation"}
        config = self.config.model_dump(mode="json", by_alias=True, include=told)
        trained = {name: one.model_dump(mode="json", by_alias=True) for name, one in self.trained.items()}
        return AnalysisSpec(
            figures=figures, plain_label=self.labels.get(self.plain), config=config | {"conditions": trained}
        )

    def report(self, figures: dict[str, str]) -> ReportSpec:
        return ReportSpec(
            title=f"Few-shot distillation on {self.config.dataset}",
            figures=figures,
            labels=self.labels,
            templates=template_digest(),
        )


def check_layers(model: str, layers: list[int], num_layers: int) -> None:
    """Raise ConfigError where a layer number lies outside the model."""
    outside = [layer for layer in layers if layer >= num_layers]
    if outside:
        raise ConfigError(
            f"conditions: layers {outside} lie outside model '{model}', whose layers are 0 to {num_layers - 1}"
        )


def check_modules(model: str, modules: list[str], known: list[str]) -> None:
    """Raise ConfigError where an adapter is asked for on a module that the model doesn't have."""
    unknown = [name for name in modules if name not in known]
    if unknown:
        raise ConfigError(
            f"lora.target_modules: model '{model}' has no linear module '{unknown[0]}'; it has {', '.join(known)}. Set "
            f"models.{model}.lora.target_modules to those that should get an adapter"
        )
