"""analysis.md: the numbers in sentences, with the figures among them."""

from typing import Any

from ..config.catalogue import BASE
from ..config.specs import AnalysisSpec
from .conditions_section import conditions_table
from .costs import Cost, cost_table
from .headline import headline
from .method import method_section
from .published_section import published_section
from .signal_section import signal_section
from .text import code, escape, escaped, percent, points

Row = dict[str, Any]

# A share of answers that were cut or hold no number, above which an accuracy says less than it seems to.
DOUBTFUL = 0.05
MAIN_FIGURE = "main_comparison.png"


def write_analysis(spec: AnalysisSpec, summary: dict[str, Any], spent: list[Cost] | None = None) -> str:
    """The whole text as Markdown, the answer first; `spent` is what the rules cost.

    report.html shows this text and adds to it, so every sentence is written here only.
    """
    summary = escaped(summary)
    spec = spec.model_copy(update={"plain_label": spec.plain_label and escape(spec.plain_label)})
    models = list(dict.fromkeys(row["model"] for row in summary["main_comparison"]))
    main = {model: [row for row in summary["main_comparison"] if row["model"] == model] for model in models}
    parts = ["# Analysis"]
    if models:
        parts += [headline(spec, summary), *_figures(spec, models[0], MAIN_FIGURE), "## Conditions"]
    for model in models:
        parts += [f"### {model}", *(_figures(spec, model, MAIN_FIGURE) if model != models[0] else [])]
        parts += [conditions_table(main[model], spec.plain_label), _main(summary, spec, model)]
    if models:
        parts.append("## While training")
    for model in models:
        sweep = [row for row in summary["lambda_sweep"] if row["model"] == model]
        parts += [f"### {model}", _sweep(sweep) if sweep else ""]
        parts.append(_curve([row for row in summary["checkpoint_curve"] if row["model"] == model]))
        parts += _figures(spec, model)
    if summary["icl_gap"] or summary["signal"]:
        parts += ["## What there was to learn", *(_phase_zero(gap) for gap in summary["icl_gap"])]
        parts += [*_figures(spec, None), *(signal_section(summary, model) for model in models)]
    if "published" in summary:
        parts.append(published_section(summary["published"], summary["metric"], summary["confidence"]))
    parts += [_checks(summary), cost_table(spent or []), method_section(spec.config, _introduction(summary))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(spec: AnalysisSpec, model: str | None, only: str | None = None) -> list[str]:
    """Figures of one model, which lie in its folder, or those above all models; `only` one, or all but the main one."""
    mine = {path: text for path, text in spec.figures.items() if path.split("/")[1:-1] == ([model] if model else [])}
    chosen = {path: text for path, text in mine.items() if (path.split("/")[-1] == MAIN_FIGURE) == bool(only)}
    return [f"![{caption}]({path})\n\n*{caption}*" for path, caption in chosen.items()]


def _introduction(summary: dict[str, Any]) -> str:
    level = f"{100 * summary['confidence']:g} %"
    right = summary["scorers"][summary["metric"]]
    return (
        f"An answer counts as right if {right} (`{summary['metric']}`). Intervals cover {level}: Wilson's score "
        "interval for an accuracy, Agresti and Min's for a paired difference. Conditions are compared question by "
        "question with McNemar's exact test; the p-values of a model in a table are corrected with Holm's method. "
        "Every number here comes from `summary.json` and `tables/`."
    )


def _phase_zero(gap: dict[str, Any]) -> str:
    lines = [f"### In-context gap ({gap['phase']})"]
    for model, entry in gap["models"].items():
        shown = ", ".join(
            f"{percent(a['accuracy'])} ({percent(a['low'])} to {percent(a['high'])}) with {a['shots']} demonstrations"
            for a in entry["accuracy"]
        )
        n = entry["accuracy"][0]["n"]
        flags = [] if entry["gap_ok"] else ["**The gap is below the threshold: there may be nothing to distil.**"]
        if not entry["floor_ok"]:
            flags.append("**Its accuracy with the fewest demonstrations is below the floor.**")
        lines.append(
            f"**{model}** answers {shown}, on {n} questions: a gap of {points(entry['gap'])}. {' '.join(flags)}".strip()
        )
    chosen = gap["recommended"]
    lines.append(
        f"The smallest model that passes both thresholds is **{chosen}**."
        if chosen
        else "No model passes both thresholds."
    )
    return "\n\n".join(lines)


def _accuracy(row: Row) -> str:
    return (
        f"{percent(row['accuracy'])} ({row['correct']} of {row['n']}; {percent(row['low'])} to {percent(row['high'])})"
    )


def _verdict(row: Row, other: str) -> str:
    """What a paired comparison allows to say."""
    difference = row["vs_plain_difference"]
    interval = f"{points(row['vs_plain_low'])} to {points(row['vs_plain_high'])}"
    p, detectable = row["vs_plain_p_holm"], row["vs_plain_detectable"]
    say = (
        f"differs from {other}" if p < 0.05 else f"can't be told from {other}"
    )  # 5 % is the level at which Holm's correction holds the whole table
    found = (
        " These are too few questions to find any difference four times out of five."
        if detectable is None
        else f" A true difference of {100 * detectable:.1f} points would be found four times out of five."
    )
    return f"{points(difference)} ({interval}; p = {p:.2g} after correction), so it {say}.{found}"


def _main(summary: dict[str, Any], spec: AnalysisSpec, model: str) -> str:
    rows = [row for row in summary["main_comparison"] if row["model"] == model]
    seeds = {row["seed"] for row in rows if row["condition"] != "base"}
    lines = []
    for row in rows:
        name = row["label"] + (f", λ = {row['lambda']:g}" if row["lambda"] else "")
        name += f", seed {row['seed']:.0f}" if len(seeds) > 1 and row["condition"] != "base" else ""
        text = f"- **{name}**: {_accuracy(row)}."
        if row["condition"] != "base" and row["vs_fewshot_difference"] is not None:
            text += f" Against the few-shot prompt: {points(row['vs_fewshot_difference'])}."
        if row["vs_plain_difference"] is not None and row["condition"] != "base":
            text += f" Against {spec.plain_label}: {_verdict(row, spec.plain_label)}"
        lines.append(text)
    once = {row["condition"]: len({r["seed"] for r in rows if r["condition"] == row["condition"]}) == 1 for row in rows}
    once.pop(BASE, None)
    caution = (
        "A condition that was trained with one seed differs from another also by what another seed would change, which "
        "these intervals don't hold."
        if any(once.values())
        else ""
    )
    return "\n".join(lines) + (f"\n\n{caution}" if caution else "")


def _name(row: Row) -> str:
    return f"{row['label']}, {row['schedule']}, seed {row['seed']:.0f}"


def _sweep(rows: list[Row]) -> str:
    swept = {row["condition"] for row in rows if row["lambda"] > 0}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["condition"] in swept:
            groups.setdefault(_name(row), []).append(row)
    lines = []
    for name, group in groups.items():
        shown = ", ".join(f"{percent(row['accuracy'])} at λ = {row['lambda']:g}" for row in group)
        lines.append(f"Over the weight λ the accuracy of {name} is {shown}.")
    tested = [row for row in rows if row["vs_plain_p_holm"] is not None]
    different = [row for row in tested if row["vs_plain_p_holm"] < 0.05]
    if different:
        shown = ", ".join(
            f"{_name(row)} at λ = {row['lambda']:g} ({points(row['vs_plain_difference'])})" for row in different
        )
        lines.append(f"After correction these differ from plain fine-tuning: {shown}.")
    elif tested:
        lines.append("No λ differs from plain fine-tuning by more than chance explains.")
    return " ".join(lines)


def _curve(rows: list[Row]) -> str:
    tested = [row for row in rows if row["vs_plain_p_holm"] is not None]
    different = [row for row in tested if row["vs_plain_p_holm"] < 0.05]
    if not tested:
        return ""
    text = f"Over all checkpoints there are {len(tested)} comparisons with plain fine-tuning; "
    if not different:
        return text + "none is significant after correction."
    shown = ", ".join(
        f"{_name(row)}, λ = {row['lambda']:g}, step {row['step']} ({points(row['vs_plain_difference'])})"
        for row in different
    )
    return text + f"significant after correction: {shown}."


def _checks(summary: dict[str, Any]) -> str:
    lines = []
    for split, skipped in summary.get("skipped_rows", {}).items():
        if skipped["rows"]:
            lines.append(
                f"- **{skipped['rows']} of {skipped['of']} rows of the {split} split were skipped**, the first "
                f"because of: {code(skipped['first'][0])}"
            )
    for path, note in summary["notes"].items():
        if path.endswith("meta.json"):
            tokens = note["prompt_tokens"]
            lines.append(
                f"- Teacher prompts in {code(path)}: {tokens['mean']:.0f} tokens on average, {tokens['max']} at most, "
                f"{note['truncated']} truncated."
            )
        elif note["truncated"]:
            lines.append(f"- **{code(path)}: {note['truncated']} of {note['examples']} training answers were cut.**")
    rows = {
        (r["model"], r["label"], r["schedule"], r["seed"], r["lambda"], r["step"]): r
        for r in summary["main_comparison"]
    }
    rows |= {
        (r["model"], r["label"], r["schedule"], r["seed"], r["lambda"], r["step"]): r
        for r in summary["checkpoint_curve"]
    }
    for row in rows.values():
        if row["unparsed"] + row["truncated"] > DOUBTFUL:
            lines.append(
                f"- **{row['model']}, {_described(row)}**: {percent(row['truncated'])} of the answers were cut at the "
                f"length limit and {percent(row['unparsed'])} hold no answer; right are "
                f"{', '.join(f'{percent(row[name])} by `{name}`' for name in summary['scorers'])}."
            )
    return "\n".join(["## Checks", *lines]) if lines else ""


def _described(row: Row) -> str:
    if row["condition"] == BASE:
        return row["label"]
    return f"{_name(row)}, λ = {row['lambda']:g}, step {row['step']}"
