"""analysis.md: the numbers in sentences, with the figures among them."""

from collections.abc import Iterable
from typing import Any

from ..config.catalogue import BASE
from ..config.specs import AnalysisSpec
from .checks_section import checks_section
from .conditions_section import comparisons_table, conditions_table
from .costs import Cost, cost_table
from .headline import headline
from .jobs import Checked, job_lines
from .method import method_section
from .noise import noise_section
from .published_section import published_section
from .signal_section import signal_section
from .text import bounds, code, escape, escaped, interval, percent, points, table
from .wording import cut_text

Row = dict[str, Any]

MAIN_FIGURE = "main_comparison.png"


def write_analysis(
    spec: AnalysisSpec, summary: dict[str, Any], spent: list[Cost] | None = None, checked: Checked | None = None
) -> str:
    """Write the text as Markdown, the answer first; `spent` is what the rules cost, `checked` how the jobs went.

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
        compared = [row for row in summary["comparisons"] if row["model"] == model]
        parts += [conditions_table(main[model], compared, spec.plain_label), _rule(main[model])]
        parts += _cut_prompts(main[model])
        parts.append(comparisons_table(compared))
    if models:
        parts.append("## While training")
    for model in models:
        sweep = [row for row in summary["lambda_sweep"] if row["model"] == model]
        parts += [f"### {model}", _sweep(sweep) if sweep else ""]
        parts.append(_curve([row for row in summary["checkpoint_curve"] if row["model"] == model]))
        parts += _figures(spec, model)
    if summary["icl_gap"] or summary["signal"]:
        parts += [
            "## Signal in the teacher's targets",
            *(_phase_zero(gap, summary["scorers"]) for gap in summary["icl_gap"]),
        ]
        parts += [*_figures(spec, None), *(signal_section(summary, model) for model in models)]
    if "published" in summary:
        parts.append(published_section(summary["published"], summary["confidence"]))
    parts.append(noise_section(summary.get("noise_floor", [])))
    parts += [checks_section(summary, job_lines(checked) if checked else []), cost_table(spent or [])]
    parts.append(method_section(spec.config, _introduction(summary)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(spec: AnalysisSpec, model: str | None, only: str | None = None) -> list[str]:
    """Figures in one model's folder, or those of all models together; `only` one, or all but the main one."""
    mine = {path: text for path, text in spec.figures.items() if path.split("/")[1:-1] == ([model] if model else [])}
    chosen = {path: text for path, text in mine.items() if (path.split("/")[-1] == MAIN_FIGURE) == bool(only)}
    return [f"![{caption}]({path})\n\n*{caption}*" for path, caption in chosen.items()]


def _introduction(summary: dict[str, Any]) -> str:
    right = summary["scorers"][summary["metric"]]
    level, margin = f"{100 * summary['confidence']:g} %", f"{100 * summary['equivalence_margin']:g} points"
    error = f"{100 * (1 - summary['confidence']):.3g} %"
    return (
        f"An answer counts as right if {right} (`{summary['metric']}`). Each interval by itself has {level} coverage. "
        "With one seed they are Wilson's for an accuracy and Tango's for a paired difference, or that of McNemar's "
        "exact test, which decides, where it is wider. With several seeds they account for variation across questions "
        "and seeds (crossed random effects, Student's t with Satterthwaite's degrees of freedom, or Cochran's where "
        "one side has one seed or was not trained); a condition with one seed is taken to vary as the one that it is "
        "compared with. The comparisons of a family are "
        f"corrected together with Holm's method: with a probability of {level} none of them is wrongly called "
        f"different. Two conditions are called equivalent if two one-sided tests at {error}, corrected likewise, "
        f"reject a difference of {margin} either way. Sweeps over λ and curves over checkpoints are exploratory: they "
        "have intervals and no verdicts. Every number here comes from `summary.json` and `tables/`."
    )


def _rule(rows: list[Row]) -> str:
    """Which checkpoints are compared."""
    trained = [row for row in rows if row["condition"] != BASE]
    if not trained:
        return ""
    if all(row["checkpoint"] == "last" for row in trained):
        return "The last checkpoint of every run is compared, and each λ is the configured one: nothing was chosen."
    return (
        "The checkpoint of every run, and λ where several were trained, are those that were best on validation "
        "questions; all numbers are on test questions."
    )


def _cut_prompts(rows: list[Row]) -> list[str]:
    """A sentence for every prompt of the base model whose difference from the few-shot prompt is mostly truncation."""
    texts = []
    for row in rows:
        if row["condition"] == BASE and row["vs_fewshot_difference"] is not None:
            lead = {"difference": -row["vs_fewshot_difference"], "from_cut": -row["vs_fewshot_from_cut"]}
            texts.append(cut_text(lead, f"The few-shot prompt's lead over {row['label']}"))
    return [text for text in texts if text]


def _phase_zero(gap: dict[str, Any], scorers: Iterable[str]) -> str:
    lines = [f"### In-context gap ({gap['phase']})"]
    shown = [name for name in (*scorers, "truncated", "unparsed") if _everywhere(gap, name)]
    words = {"truncated": "cut at the limit", "unparsed": "no answer found"}
    header = ["model", "demonstrations", "right", "accuracy", "interval"]
    header += [words.get(name, f"right by {code(name)}") for name in shown]
    rows = [
        [escape(model), f"{a['shots']}", f"{a['correct']} of {a['n']}", percent(a["accuracy"])]
        + [interval(a["low"], a["high"]), *(percent(a[name]) for name in shown)]
        for model, entry in gap["models"].items()
        for a in entry["accuracy"]
    ]
    lines.append(table(header, rows, right=range(1, len(header))))
    for model, entry in gap["models"].items():
        n = entry["accuracy"][0]["n"]
        flags = [] if entry["gap_ok"] else ["**The gap is below the threshold: there may be nothing to distil.**"]
        if not entry["floor_ok"]:
            flags.append("**Its accuracy with the fewest demonstrations is below the floor.**")
        cut = cut_text({"difference": entry["gap"], "from_cut": entry.get("from_cut")}, "This gap")
        found = f"**{escape(model)}** has a gap of {points(entry['gap'])} on {n} questions."
        lines.append(" ".join(part for part in (found, cut, *flags) if part))
    chosen = gap["recommended"]
    lines.append(
        f"The smallest model that passes both thresholds is **{chosen}**."
        if chosen
        else "No model passes both thresholds."
    )
    return "\n\n".join(lines)


def _everywhere(gap: dict[str, Any], name: str) -> bool:
    return all(name in one for entry in gap["models"].values() for one in entry["accuracy"])


def _name(row: Row) -> str:
    return f"{row['label']}, {row['schedule']}"


def _against(row: Row) -> str:
    if row["vs_plain_difference"] is None:
        return ""
    found = bounds(row["vs_plain_low"], row["vs_plain_high"])
    return f" ({points(row['vs_plain_difference'])} against plain fine-tuning, {found})"


def _sweep(rows: list[Row]) -> str:
    swept = {row["condition"] for row in rows if row["lambda"] > 0}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["condition"] in swept:
            groups.setdefault(_name(row), []).append(row)
    lines = []
    for name, group in groups.items():
        shown = ", ".join(f"{percent(row['accuracy'])} at λ = {row['lambda']:g}{_against(row)}" for row in group)
        lines.append(f"Over the weight λ the accuracy of {name} is {shown}.")
    return " ".join([*lines, "The best of several weights is best partly by chance: this is exploratory."])


def _curve(rows: list[Row]) -> str:
    """The range over checkpoints of each condition that has several."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_name(row) + (f", λ = {row['lambda']:g}" if row["lambda"] else ""), []).append(row)
    lines = []
    for name, group in groups.items():
        low, high = (pick(group, key=lambda row: row["accuracy"]) for pick in (min, max))
        if len(group) > 1:
            equal = low["accuracy"] == high["accuracy"]
            shares = [f"{percent(row['accuracy'])} (step {row['step']})" for row in (low, high)]
            told = f"{percent(low['accuracy'])} at all" if equal else f"{' to '.join(shares)} over"
            lines.append(f"- {name}: {told} {len(group)} checkpoints")
    return "\n".join(lines)
