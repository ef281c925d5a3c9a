"""Every figure draws from a small study without a warning, and shows what the table holds."""

import importlib
import json
import warnings
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.container import BarContainer, ErrorbarContainer

from fewshot_distillation.analysis.aggregate import build_tables
from fewshot_distillation.analysis.collect import read_published
from fewshot_distillation.analysis.figures.style import GREY
from fewshot_distillation.analysis.results import Results
from study_tables import LABELS, accuracy, aggregate_spec, judged, measured, metrics, more_seeds, plot_spec


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def draw(
    name: str,
    table: pd.DataFrame,
    folder: Path,
    published: pd.DataFrame | None = None,
    answers: pd.DataFrame | None = None,
    **changes,
):
    """The figure, after it was saved as the program does, with warnings as errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = importlib.import_module(f"fewshot_distillation.analysis.figures.{name}")
        figure = module.draw(plot_spec(name, **changes), measured(table, published, answers))
        for kind in ("png", "pdf"):
            figure.savefig(folder / f"a.{kind}", dpi=60)
            assert (folder / f"a.{kind}").stat().st_size > 1000
    return figure


def errorbars(axes) -> list[ErrorbarContainer]:
    return [c for c in axes.containers if isinstance(c, ErrorbarContainer)]


def legend(axes) -> list[str]:
    return [text.get_text() for text in (axes.get_legend() or axes.figure.legends[0]).get_texts()]


def at_own_lambda() -> pd.DataFrame:
    return accuracy().query("`lambda` != 0.1")


def test_main_comparison(tmp_path: Path):
    (axes,) = draw("main_comparison", at_own_lambda(), tmp_path).axes
    (bars,) = [c for c in axes.containers if isinstance(c, BarContainer)]
    assert [bar.get_width() for bar in bars] == [0.1, 0.4, 0.5, 0.9, 0.4]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["Base · 0-shot", "A · 8-shot", *LABELS.values()]
    assert "90.0%  (9/10)" in [text.get_text() for text in axes.texts]


def test_main_comparison_with_two_seeds(tmp_path: Path):
    """A bar for all seeds of a condition, whose interval is that of the tables, and a dot for each."""
    scores, answers = more_seeds()
    (axes,) = draw("main_comparison", scores.query("`lambda` != 0.1"), tmp_path, answers=answers).axes
    (bars,) = [c for c in axes.containers if isinstance(c, BarContainer)]
    right = scores.query("condition == 'sft' and step == 6")["accuracy"]
    assert len(bars) == 5 and bars[2].get_width() == pytest.approx(right.mean())
    dots = [sorted(line.get_xdata()) for line in axes.lines if line.get_marker() == "." and line.get_ydata()[0] == 2]
    assert dots == [sorted(right)] and len(right) == 3
    table = build_tables(aggregate_spec(), Results(scores, answers, aggregate_spec()))["main_comparison"]
    low, high = table.set_index("label").loc["B · SFT", ["low", "high"]]
    (bar,) = errorbars(axes)
    assert bar.lines[2][0].get_segments()[2][:, 0] == pytest.approx([low, high])


def test_accuracy_curve(tmp_path: Path):
    (axes,) = draw("accuracy_curve", at_own_lambda(), tmp_path).axes
    curves = errorbars(axes)
    assert [list(curve.lines[0].get_ydata()) for curve in curves] == [[0.3, 0.5], [0.4, 0.9], [0.1, 0.4]]
    assert legend(axes) == ["Base · 0-shot (10.0%)", "A · 8-shot (40.0%)", *LABELS.values()]


def test_accuracy_curve_with_two_seeds_names_each_condition_once(tmp_path: Path):
    scores, answers = more_seeds()
    (axes,) = draw("accuracy_curve", scores.query("`lambda` != 0.1"), tmp_path, answers=answers).axes
    assert not errorbars(axes) and len(legend(axes)) == 5
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert len(axes.collections) == 3 and sorted(len(line.get_xdata()) for line in dots) == [3] * 6


def test_lambda_sweep(tmp_path: Path):
    swept = accuracy().query("condition in ('sft', 'layerwise')")
    (axes,) = draw("lambda_sweep", swept, tmp_path).axes
    (curve,) = errorbars(axes)
    assert list(curve.lines[0].get_ydata()) == [0.5, 0.9]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.1", "0.5"]
    assert legend(axes) == ["B · SFT (50.0%)", "C · layer-wise"]


def test_loss_curves(tmp_path: Path):
    left, right = draw("loss_curves", metrics(), tmp_path).axes
    assert len(left.lines) == 3 and len(right.lines) == 2
    assert list(left.lines[0].get_ydata()) == pytest.approx([2 / n for n in range(1, 7)])
    assert list(right.lines[0].get_ydata()) == pytest.approx([0.5 * 4 / n for n in range(1, 7)])
    assert right.get_yscale() == "log"


def test_loss_curves_of_plain_fine_tuning_alone(tmp_path: Path):
    left, right = draw("loss_curves", metrics().query("condition == 'sft'"), tmp_path).axes
    assert len(left.lines) == 1 and not right.lines and right.texts[0].get_text() == "no condition with a teacher"


def test_loss_curves_of_a_distillation_weight_of_zero(tmp_path: Path):
    """λ = 0 is allowed; a logarithmic axis can't show it, and says so in a warning if it is asked to."""
    left, _ = draw("loss_curves", metrics().query("condition != 'logit_kl'").assign(**{"lambda": 0.0}), tmp_path).axes
    assert len(left.lines) == 2


def test_learning_rate(tmp_path: Path):
    """Runs with the same learning rate at every step share a line; another course has its own."""
    same = metrics()
    (axes,) = draw("learning_rate", same, tmp_path).axes
    assert len(axes.lines) == 1 and legend(axes) == ["short: 3 conditions"]
    other = same.query("condition == 'sft'").assign(schedule="short@twice", lr=[0.0, 1e-4, 0.0, 0.0, 1e-4, 2e-4])
    (axes,) = draw("learning_rate", pd.concat([same, other], ignore_index=True), tmp_path).axes
    assert len(axes.lines) == 2 and legend(axes)[1] == "short@twice: B · SFT"
    assert list(axes.lines[1].get_ydata()) == [0.0, 1e-4, 0.0, 0.0, 1e-4, 2e-4]


def test_icl_gap(tmp_path: Path):
    rows = accuracy().query("condition == 'base'")
    table = pd.concat([rows, rows.assign(model="other", accuracy=[0.1, 0.2])])
    (axes,) = draw("icl_gap", table, tmp_path).axes
    assert len(errorbars(axes)) == 2
    assert legend(axes) == ["tiny (gap +30.0 points)", "other (gap +10.0 points)"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "8"]


def test_a_condition_has_the_same_colour_everywhere(tmp_path: Path):
    curve = errorbars(draw("accuracy_curve", at_own_lambda(), tmp_path).axes[0])[1].lines[0]
    loss = draw("loss_curves", metrics(), tmp_path).axes[0].lines[1]
    sweep = errorbars(draw("lambda_sweep", accuracy().query("condition in ('sft', 'layerwise')"), tmp_path).axes[0])[0]
    assert curve.get_color() == loss.get_color() == sweep.lines[0].get_color()


def test_long_labels_leave_room_for_the_axes(tmp_path):
    """And a dollar sign stays one."""
    long = {name: f"{name} that costs $5 and has {'a very long label ' * 2}" for name in LABELS}
    spec = plot_spec("accuracy_curve").model_copy(update={"labels": long})
    module = importlib.import_module("fewshot_distillation.analysis.figures.accuracy_curve")
    figure = module.draw(spec, measured(accuracy()))
    figure.savefig(tmp_path / "figure.png")
    box = figure.axes[0].get_position()
    assert box.width > 0.7 and box.height > 0.35
    legend_box = figure.legends[0].get_window_extent()
    assert legend_box.x0 >= 0 and legend_box.x1 <= figure.bbox.x1


def published(folder: Path, n: int = 10):
    """Published accuracies of the small study, as `read_published` gives them, one of them a range of steps."""
    run = {"model": "tiny", "schedule": "short"}
    rows = [
        {"model": "tiny", "condition": "base", "shots": 8, "percent": 45},
        {"model": "tiny", "condition": "base", "phase": "phase0", "shots": 8, "percent": 60},
        run | {"condition": "sft", "lambda": 0, "step": 6, "percent": 55},
        run | {"condition": "layerwise", "lambda": 0.5, "step": [3, 6], "percent": [50, 70]},
        run | {"condition": "layerwise", "lambda": 0.5, "step": 6, "percent": 80},
        run | {"condition": "layerwise", "lambda": 0.1, "step": 3, "percent": 20},
        run | {"condition": "layerwise", "lambda": 2.0, "step": 6, "percent": 10},
        run | {"condition": "logit_kl", "lambda": 0.5, "step": 6, "percent": 30} | {"model": "other"},
    ]
    path = folder / "published.yaml"
    path.write_text(json.dumps({"dataset": "problems", "tables": {"main": {"title": "Main", "n": n, "rows": rows}}}))
    return read_published(path)


def rings(axes) -> dict[tuple, str]:
    """Places of hollow points, and their colours."""
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    return {(x, y): line.get_color() for line in hollow for x, y in line.get_xydata().tolist()}


def test_published_points_lie_behind_the_curve(tmp_path: Path):
    """Of the runs shown only, at their own steps and in their own colours; a range is a box and no point."""
    (axes,) = draw("accuracy_curve", at_own_lambda(), tmp_path, published(tmp_path)).axes
    curves = {curve.get_label(): curve.lines[0] for curve in errorbars(axes)}
    sft, layerwise = (curves[LABELS[name]] for name in ("sft", "layerwise"))
    assert rings(axes) == {
        (0, 0.45): GREY,
        (sft.get_xdata()[1], 0.55): sft.get_color(),
        (layerwise.get_xdata()[1], 0.8): layerwise.get_color(),
    }
    (box,) = [patch for patch in axes.patches if not patch.get_fill()]
    assert box.get_bbox().extents.tolist() == pytest.approx([3, 0.5, 6, 0.7])
    assert max(line.zorder for line in axes.lines if line.get_alpha() == 0.75) < sft.zorder
    assert legend(axes)[-1] == "published"


def test_published_points_of_the_other_figures(tmp_path: Path):
    theirs = published(tmp_path, n=1000)
    (axes,) = draw("main_comparison", at_own_lambda(), tmp_path, theirs).axes
    assert sorted(rings(axes)) == [(0.45, 1), (0.55, 2), (0.8, 3)]
    assert legend(axes) == ["published, on 1000 questions"], "another number of questions doesn't pass in silence"
    swept = accuracy().query("condition in ('sft', 'layerwise')")
    (axes,) = draw("lambda_sweep", swept, tmp_path, theirs).axes
    assert rings(axes) == {(-0.4, 0.55): GREY, (1, 0.8): errorbars(axes)[0].lines[0].get_color()}
    rows = accuracy().query("condition == 'base'")
    (axes,) = draw("icl_gap", rows, tmp_path, theirs, phase="phase0").axes
    assert list(rings(axes)) == [(1, 0.6)]
    assert not rings(draw("icl_gap", rows, tmp_path, theirs, phase="phase1").axes[0])


def test_schedules_have_panels_of_their_own(tmp_path: Path):
    early = at_own_lambda().query("condition == 'sft'").assign(schedule="early", step=[1, 2])
    answers = judged().query("condition == 'sft'").assign(schedule="early").replace({"step": {3: 1, 6: 2}})
    answers = pd.concat([judged(), answers])
    first, second = draw("accuracy_curve", pd.concat([at_own_lambda(), early]), tmp_path, answers=answers).axes
    assert [len(errorbars(axes)) for axes in (first, second)] == [1, 3], "the shorter schedule comes first"
    assert first.get_ylim() == second.get_ylim()
    assert legend(first) == ["Base · 0-shot (10.0%)", "A · 8-shot (40.0%)", *LABELS.values()]


def with_sizes() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Plain fine-tuning and a condition on 4 examples, on 16, and on all."""
    scores = accuracy().query("condition == 'base' or (step == 6 and condition != 'logit_kl' and `lambda` != 0.1)")
    answers = judged().query("condition == 'base' or (step == 6 and condition != 'logit_kl' and `lambda` != 0.1)")
    tables = []
    for table in (scores, answers):
        more = [table]
        for size in (16, 4):
            trained = table[table["condition"] != "base"]
            more.append(trained.assign(schedule=f"short@n{size}", train_examples=size))
        tables.append(pd.concat(more, ignore_index=True))
    return tables[0], tables[1].drop(columns="train_examples")


SIZES = {"short@n4": "4 examples", "short@n16": "16 examples", "short": "all examples"}
VARIANTS = {"sft": SIZES, "layerwise": SIZES}


def test_data_efficiency(tmp_path: Path):
    """A curve a condition, the smallest number of examples first and all of them last."""
    scores, answers = with_sizes()
    axes, *_ = draw("data_efficiency", scores, tmp_path, answers=answers, variants=VARIANTS).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["4", "16", "all"]
    assert [list(curve.lines[0].get_ydata()) for curve in errorbars(axes)] == [[0.5] * 3, [0.9] * 3]
    assert legend(axes) == ["Base · 0-shot (10.0%)", "A · 8-shot (40.0%)", "B · SFT", "C · layer-wise"]


def test_the_main_comparison_has_a_bar_for_every_size(tmp_path: Path):
    scores, answers = with_sizes()
    (axes,) = draw("main_comparison", scores, tmp_path, answers=answers, variants=VARIANTS).axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[2:5] == ["B · SFT, 4 examples", "B · SFT, 16 examples", "B · SFT, all examples"]


def test_gradients(tmp_path: Path):
    """Norms and cosines where they were measured; a window without distillation has none."""
    table = metrics().query("condition != 'sft'")
    measured_at = table["step"].isin([1, 4]) & (table["condition"] == "layerwise")
    table = table.assign(grad_norm_ce=2.0, grad_norm_distillation=0.5, grad_cosine=0.25)
    columns = ["grad_norm_ce", "grad_norm_distillation", "grad_cosine"]
    table[columns] = table[columns].where(measured_at)
    left, right = draw("gradients", table, tmp_path).axes
    assert [list(line.get_xdata()) for line in left.lines] == [[1, 4], [1, 4]] and left.get_yscale() == "log"
    assert [
        list(line.get_ydata()) for line in right.lines if len(line.get_xdata()) and line.get_marker() != "None"
    ] == [[0.25, 0.25]]
    left, _ = draw("gradients", metrics(), tmp_path).axes
    assert left.texts[0].get_text() == "no gradients were measured"


def test_the_main_comparison_shows_what_validation_chose(tmp_path: Path):
    """The earlier checkpoint and the other λ, where these were better on validation questions."""
    scores = accuracy().query("condition in ('base', 'layerwise')")
    trained = scores[scores["condition"] == "layerwise"]
    better = (trained["lambda"] == 0.1) & (trained["step"] == 3)
    validation = trained.assign(split="validation", accuracy=better.map({True: 0.9, False: 0.1}))
    given = measured(scores)
    given = given._replace(accuracy=pd.concat([given.accuracy, validation.assign(teacher=None)], ignore_index=True))
    module = importlib.import_module("fewshot_distillation.analysis.figures.main_comparison")
    (axes,) = module.draw(plot_spec("main_comparison"), given).axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[2:] == ["C · layer-wise, λ = 0.1"] and axes.patches[2].get_width() == 0.2
    assert axes.get_title(loc="left") == "tiny after 3 steps"
