"""From the configuration to jobs: which runs there are, and the spec and the machine settings of each job."""

from ..tasks import task_modules
from .catalogue import BASE, Lora
from .conditions import QUESTION, REFERENCE
from .config import ZEROSHOT, Config
from .figures import figures
from .machine import Machine
from .prompts import Prompts
from .runs import Run, Runs
from .specs import (
    ActivationsSpec,
    DatasetSpec,
    EvaluateSpec,
    FetchDatasetSpec,
    FetchedModel,
    FetchModelSpec,
    GenerationSpec,
    IclGapSummarySpec,
    LogitsSpec,
    ModelSpec,
    ScoreSpec,
    SignalSpec,
    TrainSpec,
)
from .targets import POSITIONS, Target
from .wording import Wording

# The rules that compute with a model, each with the entry of `models.<model>.gpus` for its number of GPUs.
# `precompute_logits` has none: it reads the states that the teacher has computed, and one GPU is enough.
GPU_RULES = {
    "precompute_activations": "teacher",
    "audit_signal": "teacher",
    "train": "train",
    "baseline": "evaluate",
    "rerun": "evaluate",
    "write_answers": "evaluate",
    "eval_checkpoint": "evaluate",
    "eval_validation": "evaluate",
    "precompute_logits": None,
}


class Study(Runs):
    """All runs that the configuration asks for, and the spec of every job."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.prompts = Prompts(config)
        chosen = dict(config.datasets[config.dataset])
        # A licence is for readers, so it may not mark what is fetched as stale.
        chosen.pop("license")
        self.dataset = DatasetSpec(name=config.dataset, **chosen)

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
        """Return the GPUs of a model's job, at most those that are `here` if that is known; a server needs none."""
        kind = GPU_RULES[rule]
        evaluations = self.config.repeated_evaluations if rule == "rerun" else [self.config.evaluation]
        if kind == "evaluate" and all(evaluation.backend == "server" for evaluation in evaluations):
            return 0
        wanted = 1 if kind is None else getattr(self.config.models[model].gpus, kind)
        return min(wanted, here) if here else wanted

    def machine(self, rule: str, model: str, state: str, here: int = 0) -> Machine:
        """Collect the settings of a model's job that no result depends on; `state` is its folder of unfinished work."""
        config, own, kind = self.config, self.config.models[model], GPU_RULES.get(rule)
        found = {"state": state, "gpus": self.gpus(rule, model, here) if rule in GPU_RULES else 0}
        if kind == "train":
            names = ("trackers", "save_state_every", "log_gradients_every")
            found |= {name: getattr(config, name) for name in names}
            found |= {"accelerate": own.accelerate, "gradient_checkpointing": own.gradient_checkpointing}
        elif kind == "evaluate":
            found |= {"server": config.server}
        elif rule == "fetch_model":
            found |= {"layers": self.matched_layers().get(model, []), "modules": self.adapted_modules().get(model, [])}
            found |= {"asked": [self.model_spec(model), self.model_spec(model, base=True)]}
        return Machine(**found)

    # --- specs: one method a rule, with the rule's wildcards ---------------------------------------------------------

    def model_spec(self, name: str, base: bool = False) -> ModelSpec:
        """Describe a model and how it is asked; `base` for the base model's own answers to test questions."""
        model = self.config.models[name]
        arguments = model.chat_template
        if base and model.chat_template_base is not None:
            arguments = model.chat_template_base
        own = model.prompt or Wording()
        given = {field: getattr(own, field) for field in own.model_fields_set}
        wording = self.config.prompt.model_copy(update=given)
        return ModelSpec(name=name, source=model.source, chat_template=arguments, wording=wording)

    def fetched_model(self, name: str) -> FetchedModel:
        return FetchedModel(name=name, source=self.config.models[name].source)

    def fetch_model(self, model: str) -> FetchModelSpec:
        return FetchModelSpec(model=self.fetched_model(model))

    def fetch_dataset(self, dataset: str) -> FetchDatasetSpec:
        return FetchDatasetSpec(dataset=self.dataset)

    def _prompt(self, model: str, prompt: str) -> dict:
        """What a `PromptSpec` has; labels are for readers only."""
        teacher = self.prompts.all[prompt].greedy.model_copy(update={"label": None})
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
        asked = self._prompt(model, prompt) | {"model": self.model_spec(model, base=True)}
        return GenerationSpec(**asked, split="test", evaluation=evaluation)

    def rerun(self, model: str, rerun: str, prompt: str) -> GenerationSpec:
        """Return the spec of a rerun: the baseline's, with what differs."""
        evaluation = self.config.reruns[rerun].of(self.config.evaluation)
        asked = self._prompt(model, prompt) | {"model": self.model_spec(model, base=True)}
        return GenerationSpec(**asked, split="test", evaluation=evaluation)

    @property
    def repeated(self) -> list[tuple[str, str, str]]:
        """Model, rerun and prompt of every evaluation that is repeated."""
        prompts = [name for name in self.prompts.baselines(list(self.trained)) if name in (ZEROSHOT, self.fewshot)]
        return [(model, rerun, prompt) for model in self.models for rerun in self.config.reruns for prompt in prompts]

    @property
    def rerun_modules(self) -> list[str]:
        """Package modules of the backends that repeat evaluations, as code digests name them."""
        return sorted({module for evaluation in self.config.repeated_evaluations for module in evaluation.modules})

    def write_answers(self, model: str, teacher: str) -> GenerationSpec:
        evaluation = self.config.evaluation.model_copy(update={"questions": None})
        prompt = self._prompt(model, teacher)
        sampled = prompt["teacher"].model_copy(update={"sampling": self.config.teachers[teacher].sampling})
        return GenerationSpec(**prompt | {"teacher": sampled}, split="train", evaluation=evaluation)

    def targets(self, condition: str) -> list[tuple[Target, str]]:
        """Return each target of a condition, with the text at which its teacher's values are cached."""
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
        """Return the spec of `eval_checkpoint`, with every question of the validation split."""
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

    def score_rerun(self, model: str, rerun: str, prompt: str) -> ScoreSpec:
        return self._score(model=model, condition=BASE, teacher=prompt, rerun=rerun)

    def score_answers(self, model: str, teacher: str) -> ScoreSpec:
        return self._score(model=model, condition=BASE, teacher=teacher, split="train")

    def icl_gap_summary(self, phase: str) -> IclGapSummarySpec:
        gap = self.config.icl_gap[phase]
        return IclGapSummarySpec(phase=phase, min_gap=gap.min_gap, min_floor=gap.min_floor)

    @property
    def labels(self) -> dict[str, str]:
        """What readers see in the place of a trained condition's name."""
        return {name: condition.label for name, condition in self.trained.items()}

    def runs_of_figure(self, figure: str, model: str) -> list[Run]:
        """Return the runs of a model that a figure shows."""
        return getattr(self, f"{figures()[figure].runs}_runs")(model)

    @property
    def plain(self) -> str | None:
        """The condition without a teacher that the others are measured against."""
        return next((name for name, condition in self.trained.items() if not condition.all_targets), None)

    @property
    def families(self) -> dict[str, list[tuple[str, str]]]:
        """The comparisons that get a verdict; without any in the configuration, every condition against SFT."""
        if self.config.comparisons or self.plain is None:
            return {name: [tuple(pair) for pair in pairs] for name, pairs in self.config.comparisons.items()}
        pairs = [(name, self.plain) for name in self.trained if name != self.plain]
        return {"conditions": pairs} if pairs else {}

    @property
    def fewshot(self) -> str | None:
        """The prompt that conditions are shown beside: the first with the most demonstrations as they were written."""
        prompts = {name: self.prompts.all[name] for name in self.prompts.baselines(list(self.trained))}
        shown = [name for name, prompt in prompts.items() if prompt.shots and prompt.content == "correct"]
        return max(shown, key=lambda name: prompts[name].shots, default=None)
