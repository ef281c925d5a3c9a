"""The section of analysis.md about the signal in the teachers' targets."""

from typing import Any

from .text import percent, table

Row = dict[str, Any]

# Nats of KL(teacher ‖ base student) below which a condition that matches logits has next to nothing to learn. By
# Pinsker's inequality no event's probability differs by more than √(KL / 2), here 10 points, however well it learns. A
# 135M model with eight demonstrations had 0.003 at `question_end`, where the chat format dictates the next token, and
# 1.3 at `prompt_end`, where the answer begins (48 word problems). At T = 2 these were 0.25 and 0.40, but at the former
# the distance is between likelihoods of tokens that the model hardly ever writes, so T = 1 decides.
LEAST_KL = 0.02

# The same for hidden states, as the squared distance of normalized states averaged over layers. Rounding in bfloat16
# moves a state by about 1 %, which is 0.0001; the same model had 0.2.
LEAST_DISTANCE = 0.001

EXPLAINED = (
    "How far the base model without demonstrations is from each teacher. KL(teacher ‖ student) over the whole "
    "vocabulary and the teacher's entropy in nats; top k is the probability that its likeliest tokens cover; distance "
    "is the squared distance of hidden states of unit norm, summed over layers."
)


def signal_section(summary: dict[str, Any], model: str) -> str:
    """Write tables of the teachers' signal and of runs that learned from it, with warnings; empty without a teacher."""
    audits = [audit for audit in summary["signal"] if audit["model"] == model]
    if not audits:
        return ""
    parts = [f"### {model}", EXPLAINED, *(_audit(audit) for audit in audits)]
    runs = [row for row in summary["distillation"] if row["model"] == model]
    if runs:
        parts += [_runs(runs), *_warnings(runs, audits)]
    return "\n\n".join(parts)


def _audit(audit: dict[str, Any]) -> str:
    """One row for each position."""
    first = next(iter(audit["positions"].values()))
    temperatures = list(first["kl"])
    covered = [(k, t) for k in first["coverage"] for t in temperatures]
    header = ["position", *(f"KL at T = {float(t):g}" for t in temperatures), "teacher's top-1", "entropy"]
    header += [f"top {k} at T = {float(t):g}" for k, t in covered]
    header += ["Σ distance", "cosine over layers"]
    rows = []
    for position, entry in audit["positions"].items():
        cells = [f"`{position}`", *(f"{entry['kl'][t]:.3g}" for t in temperatures)]
        cells += [percent(entry["top1_probability"]), f"{entry['entropy']:.3g}"]
        cells += [percent(entry["coverage"][k][t]["mean"]) for k, t in covered]
        # Where no layer is matched, as mostly at answers, none is compared.
        if cosines := entry["layers"].get("cosine"):
            distance = sum(entry["layers"]["normalized_distance"])
            cells += [f"{distance:.3g}", f"{min(cosines):.3f} to {max(cosines):.3f}"]
        else:
            cells += ["–", "–"]
        rows.append(cells)
    read = {"question": "questions", "reference": "questions with the reference answers"}
    what = read.get(audit["text"], f"questions with the answers that teacher `{audit['text']}` wrote")
    shown = table(header, rows, right=range(1, len(header)))
    return f"Teacher `{audit['teacher']}`, over {audit['examples']} training {what}:\n\n{shown}"


def _runs(rows: list[Row]) -> str:
    """Distillation beside cross-entropy, for the objective that was trained and for the other reduction."""
    header = ["run", "λ", "objective", "cross-entropy, start", "λ · distillation, start", "ratio"]
    header += ["cross-entropy, end", "λ · distillation, end", "ratio"]
    lines = []
    for row in rows:
        name = f"{row['label']}, {row['schedule']}, seed {row['seed']}"
        start = _ratio(row["ce_start"], row["weighted_start"])
        end = _ratio(row["ce_end"], row["weighted_end"]) if row["trained"] else []
        objective = f"`{row['objective']}`" + ("" if row["trained"] else ", not trained")
        numbers = [*start, *end]
        lines.append([name, f"{row['lambda']:g}", objective, *numbers, *["–"] * (6 - len(numbers))])
    text = (
        "The weighted distillation term beside the cross-entropy of the answers, averaged over the first and over the "
        "last steps of a run. The reduction that a run wasn't trained with is computed from the audit."
    )
    for label in dict.fromkeys(row["label"] for row in rows if row["target"] == "hidden_states"):
        numbers = next(row["numbers"] for row in rows if row["label"] == label)
        text += f" For {label}, `sum` and `mean` are {numbers:,} times apart."
    return f"{text}\n\n{table(header, lines, right=[1, *range(3, len(header))])}"


def _ratio(ce: float | None, weighted: float) -> list[str]:
    """Cross-entropy, weighted distillation and their ratio; a condition may have no cross-entropy."""
    if ce is None:
        return ["–", f"{weighted:.3g}", "–"]
    return [f"{value:.3g}" for value in (ce, weighted, weighted / ce)]


def _warnings(rows: list[Row], audits: list[dict[str, Any]]) -> list[str]:
    """A sentence for each condition that was trained on next to nothing."""
    found = {}
    for row in rows:
        mine = [audit["positions"] for audit in audits if audit["teacher"] == row["teacher"]]
        positions = {position: entry for part in mine for position, entry in part.items()}
        others = [position for position in positions if position != row["position"]]
        where = f"**{row['label']} has next to nothing to learn from**: at `{row['position']}`"
        if row["target"] == "logits" and row["kl"] < LEAST_KL:
            elsewhere = ", ".join(f"{positions[name]['kl']['1.0']:.2g} at `{name}`" for name in others)
            found[row["label"]] = (
                f"{where} the teacher's next-token distribution is only {row['kl']:.2g} nats from the base "
                f"student's{f' ({elsewhere})' if elsewhere else ''}, below {LEAST_KL:g}."
            )
            if row["temperature"] != 1:
                found[row["label"]] += (
                    f" At T = {row['temperature']:g}, with which it was trained, the distance is "
                    f"{row['kl_at_temperature']:.2g} nats; it is in tokens that are hardly ever next."
                )
        elif row["target"] == "hidden_states" and row["distance"] < LEAST_DISTANCE:
            found[row["label"]] = (
                f"{where} the squared distance from the base model's hidden states is {row['distance']:.2g} a "
                f"layer, below {LEAST_DISTANCE:g}, which is little more than rounding."
            )
    return list(found.values())
