"""The last section of analysis.md: what was done, with the formula of every condition."""

from typing import Any

from .text import code, escape, table

Entry = dict[str, Any]

# What a loss of `student/losses` is called in a formula, T² included where it is part of it.
DIVERGENCES = {
    "forward_kl": "T² KL(p_teacher ‖ p_student)",
    "reverse_kl": "T² KL(p_student ‖ p_teacher)",
    "jensen_shannon": "T² JS_β(p_teacher, p_student)",
    "squared_error": "mean (z_student − z_teacher)²",
}
OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD with momentum 0.9"}


def method_section(config: Entry, metric: str) -> str:
    """Return a paragraph and the objectives.

    Args:
        config: what the spec holds of the configuration; conditions as their objectives, each with a label.
        metric: when an answer counts as right, and what intervals and tests are.
    """
    if not config:
        return f"## Method\n\n{metric}"
    return "\n\n".join(["## Method", _paragraph(config), metric, _objectives(config)])


def _paragraph(config: Entry) -> str:
    schedules = ", ".join(f"{one['max_steps']} steps ({code(name)})" for name, one in config["schedules"].items())
    recipes = "; ".join(_recipe(name, one, len(config["training"])) for name, one in config["training"].items())
    return (
        "The frozen model reads each training question with demonstrations before it and, in a condition with a "
        "teacher, leaves targets behind. The student, the same model, reads the question alone and learns an answer "
        f"(cross-entropy L_CE) and these targets, for {schedules}. It is trained as follows: {recipes}. Checkpoints "
        f"then answer the test questions of {code(config['dataset'])} without demonstrations, by greedy decoding of at "
        f"most {config['evaluation']['max_new_tokens']} tokens."
    )


def _recipe(name: str, recipe: Entry, of: int) -> str:
    lora, warmup = recipe["lora"], recipe["warmup_steps"]
    steps = f"{warmup} step{'s' * (warmup != 1)}"
    learner = (
        f"a LoRA adapter of rank {lora['r']} (α = {lora['alpha']}, dropout {lora['dropout']:g})"
        if recipe["adapter"] == "lora"
        else "all weights"
    )
    optimizer = recipe.get("optimizer", "adamw")
    return (
        f"{f'{code(name)}: ' if of > 1 else ''}{learner}, {OPTIMIZERS.get(optimizer, optimizer)} at a learning rate of "
        f"up to {recipe['learning_rate']:g}, {steps} of warm-up, then {recipe['lr_scheduler']}, "
        f"{recipe['effective_batch_size']} examples a step{_stretched(recipe)}"
    )


def _stretched(recipe: Entry) -> str:
    """A schedule that doesn't end where training does."""
    steps = recipe.get("scheduler_steps_per_step", 1)
    return "" if steps == 1 else f", the schedule moved on by {steps} steps in each (figure of the learning rate)"


def _objectives(config: Entry) -> str:
    rows = []
    for name, condition in config["conditions"].items():
        terms = "; ".join(targets_of(config, condition)) or "none"
        rows.append([escape(condition["label"]), code(name), f"L = {objective(condition)}", terms, data_of(condition)])
    header = ["condition", "name", "objective", "targets", "learns from"]
    return (
        "λ weighs the distillation term (a sweep varies it); ĥ_l is the hidden state of layer l at unit norm, p a "
        f"distribution over next tokens, z their logits, T a temperature.\n\n{table(header, rows)}"
    )


def objective(condition: Entry) -> str:
    """Return the right-hand side of a condition's formula."""
    weight, targets = condition["cross_entropy"], condition["targets"]
    smoothed = f" (label smoothing {condition['label_smoothing']:g})" if condition["label_smoothing"] else ""
    parts = [f"{'' if weight == 1 else f'{weight:g} '}L_CE{smoothed}"] if weight else []
    terms = [("" if one["lambda"] == 1 else f"{one['lambda']:g} · ") + _term(one) for one in targets]
    if targets:
        parts.append(f"{condition['lambda']:g} · " + (terms[0] if len(terms) == 1 else f"({' + '.join(terms)})"))
    return " + ".join(parts)


def _term(target: Entry) -> str:
    if target["target"] == "logits":
        return DIVERGENCES.get(target["divergence"], code(target["divergence"]))
    if target["loss"] != "layerwise":
        return code(target["loss"])
    state, total = ("ĥ" if target["normalize"] else "h"), ("mean_l" if target["reduction"] == "mean" else "Σ_l")
    return f"{total} ‖{state}_l(student) − {state}_l(teacher)‖²"


def targets_of(config: Entry, condition: Entry) -> list[str]:
    """Return, for each target, which teacher, where, and how much of it."""
    return [_told(config, target) for target in condition["targets"]]


def _told(config: Entry, target: Entry) -> str:
    teacher = config["teachers"].get(target["teacher"], {})
    words = [f"teacher {code(target['teacher'])}"]
    words += [f"{teacher['shots']} demonstrations"] if "shots" in teacher else []
    words += [teacher["content"].replace("_", " ")] if teacher.get("content", "correct") != "correct" else []
    words.append(f"at {code(target['span'])}")
    if target["target"] == "logits":
        parameters = [f"{key} = {value:g}" for key, value in target["parameters"].items()]
        words += [f"T = {target['temperature']:g}", f"top {target['top_k']}", *parameters]
    elif target["layers"] != "all":
        words.append(f"layers {', '.join(map(str, target['layers']))}")
    return ", ".join(words)


def data_of(condition: Entry) -> str:
    """Return which questions a condition learns from, and whose answers."""
    questions = {"all": "all training questions"}.get(condition["examples"], f"{condition['examples']} questions")
    answers = "reference answers" if condition["answers"] == "reference" else f"answers of {code(condition['answers'])}"
    kept = ", where right" if condition["keep"] == "correct" else ""
    more = f"; cross-entropy on {condition['sft_examples']} ones" if condition["sft_examples"] else ""
    window = "; distillation in steps {} to {}".format(*condition["lambda_steps"]) if condition["lambda_steps"] else ""
    return f"{questions}, {answers}{kept}{more}{window}"
