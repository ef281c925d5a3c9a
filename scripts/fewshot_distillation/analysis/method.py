"""The last section of analysis.md: what was done, with the formula of every condition."""

from typing import Any

from .text import code, escape, table

Entry = dict[str, Any]

# What a divergence is called in a formula, before its arguments.
DIVERGENCES = {
    "forward_kl": "KL(p_teacher ‖ p_student)",
    "reverse_kl": "KL(p_student ‖ p_teacher)",
    "jensen_shannon": "JS(p_teacher, p_student)",
    "logit_mse": "mean (z_student − z_teacher)²",
}


def method_section(config: Entry, metric: str) -> str:
    """A paragraph and the objectives; `config` is the configuration as the spec holds it, and `metric` says when an
    answer counts as right."""
    if not config:
        return f"## Method\n\n{metric}"
    return "\n\n".join(["## Method", _paragraph(config), metric, _objectives(config)])


def _paragraph(config: Entry) -> str:
    training, evaluation = config.get("training", {}), config.get("evaluation", {})
    lora = config.get("lora")
    learner = (
        f"the same model with a LoRA adapter of rank {lora['r']} (α = {lora['alpha']})"
        if lora and training.get("adapter", "lora") == "lora"
        else "a copy of the model, all of whose weights are trained,"
    )
    schedules = ", ".join(f"{one['max_steps']} steps ({code(name)})" for name, one in config["schedules"].items())
    batch = training.get("effective_batch_size")
    rate = training.get("learning_rate")
    fitted = "" if rate is None else f", at a learning rate of up to {rate:g}"
    return (
        "The frozen model reads each training question with demonstrations before it and, in a condition with a "
        f"teacher, leaves targets behind. The student, {learner} reads the question alone and learns the reference "
        f"answer (cross-entropy L_CE) and these targets, for {schedules} of {batch} examples each{fitted}. Checkpoints "
        f"then answer the test questions of {code(config['dataset'])} without demonstrations, by greedy decoding of at "
        f"most {evaluation.get('max_new_tokens')} tokens."
    )


def _objectives(config: Entry) -> str:
    rows = []
    for name, condition in config["conditions"].items():
        terms = condition.get("targets") or ([condition] if condition.get("target", "none") != "none" else [])
        rows.append([escape(condition["label"]), code(name), f"L = {_sum(condition, terms)}", _told(config, terms)])
    header = ["condition", "name", "objective", "targets"]
    return (
        "λ weighs the distillation term; ĥ_l is the hidden state of layer l at unit norm, p a distribution over next "
        f"tokens, T its temperature.\n\n{table(header, rows)}"
    )


def _sum(condition: Entry, terms: list[Entry]) -> str:
    weight = condition.get("cross_entropy", 1)
    parts = [] if weight == 0 else ["L_CE" if weight in (1, True, None) else f"{weight:g} L_CE"]
    return " + ".join(parts + [f"{term.get('lambda', condition.get('lambda', 1)):g} · {_term(term)}" for term in terms])


def _term(term: Entry) -> str:
    if term["target"] == "hidden_states":
        state = "ĥ" if term.get("normalize", True) else "h"
        mean = "mean" if term.get("reduction") == "mean" else "Σ_l"
        return f"{mean} ‖{state}_l(student) − {state}_l(teacher)‖²"
    divergence = term.get("divergence", "forward_kl")
    squared = "" if divergence == "logit_mse" else "T² "
    return squared + DIVERGENCES.get(divergence, code(divergence))


def _told(config: Entry, terms: list[Entry]) -> str:
    """Which teacher, where, and how much of it."""
    found = []
    for term in terms:
        teacher = config["teachers"].get(term.get("teacher"), {})
        said = [f"teacher {code(term['teacher'])}"] if term.get("teacher") else []
        said += [f"{teacher['shots']} demonstrations"] if "shots" in teacher else []
        said += [f"answers {teacher['answers']}"] if teacher.get("answers", "correct") != "correct" else []
        where = term.get("span") or term.get("position")
        said += [f"at {code(where)}"] if where else []
        if term["target"] == "logits":
            said += [f"T = {term.get('temperature', 1):g}", f"top {term['top_k']}"]
        elif term.get("layers", "all") != "all":
            said.append(f"layers {', '.join(map(str, term['layers']))}")
        found.append(", ".join(said))
    return "; ".join(found) or "none"
