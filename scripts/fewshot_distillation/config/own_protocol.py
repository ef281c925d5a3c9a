"""The protocol of the study at hand, from its configuration."""

from .protocol import (
    MAIN,
    Asked,
    Course,
    EvaluationSet,
    OwnModel,
    OwnProtocol,
    OwnQuestions,
    OwnRun,
    Recipe,
    objective_of,
)
from .runs import Variant
from .study import Study


def own_protocol(study: Study) -> OwnProtocol:
    """Collect what decides the accuracies of a study, of what is built alone."""
    config = study.config
    gaps = config.icl_gap
    models = dict.fromkeys([*study.models, *(model for gap in gaps.values() for model in gap.models)])
    prompts = study.prompts.all
    asked = {MAIN: (study.models, config.evaluation.questions, study.prompts.baselines(list(study.trained)))}
    asked |= {name: (gap.models, gap.questions, study.prompts.of_gap(gap)) for name, gap in gaps.items()}
    return OwnProtocol(
        objective={name: objective_of(one.learning, config.teachers) for name, one in study.trained.items()},
        models={model: _model(study, model) for model in models},
        precision=config.precision,
        asked={
            name: OwnQuestions(
                models=who,
                questions="all" if questions is None else questions,
                # Of several prompts with as many demonstrations the one that published rows are compared with.
                demonstrations={prompts[p].shots: prompts[p].demonstrations for p in reversed(named)},
            )
            for name, (who, questions, named) in asked.items()
        },
        max_new_tokens=config.evaluation.max_new_tokens,
        scorers=config.scorers,
        metric=config.metric,
        seeds=sorted({run.seed for run in study.runs}),
        evaluation_set=EvaluationSet(
            dataset=config.dataset, hub=_hub(study.dataset.source), rows=study.dataset.limit_test
        ),
    )


def _model(study: Study, model: str) -> OwnModel:
    tuned, base = study.model_spec(model), study.model_spec(model, base=True)
    variants = dict.fromkeys(run.schedule for run in study.runs_of(model))
    return OwnModel(
        hub=_hub(study.config.models[model].source),
        prompt=tuned.wording,
        thinking=Asked(base=base.chat_template, tuned=tuned.chat_template),
        runs={name: _run(study, model, study.variants[name]) for name in variants},
    )


def _hub(source: object) -> str | None:
    return getattr(source, "hub", None)


def _run(study: Study, model: str, variant: Variant) -> OwnRun:
    config, training = study.config, study.config.training[variant.recipe]
    dataset = study.dataset
    fields = {name: getattr(training, name) for name in Course.model_fields if name != "max_steps"}
    others = {name: getattr(training, name) for name in Recipe.model_fields if hasattr(training, name)}
    return OwnRun(
        schedule=Course(**fields, max_steps=config.schedules[variant.schedule].max_steps),
        recipe=Recipe(
            **others | {"lora": training.lora_of(config.models[model]) if training.adapter == "lora" else None},
            train_examples=variant.train_examples or dataset.limit_train,
            validation=dataset.validation,
            calculation_annotations=dataset.calculation_annotations,
        ),
    )
