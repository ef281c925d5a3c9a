"""Every figure draws from a small study without a warning, and shows what the table holds."""

import importlib
import warnings
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.container import BarContainer, ErrorbarContainer

from study_tables import LABELS, accuracy, metrics, plot_spec


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def draw(name: str, table: pd.DataFrame, folder: Path):
    """The figure, after it was saved as the program does, with warnings as errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = importlib.import_module(f"fewshot_distillation.analysis.figures.{name}").draw(plot_spec(name), table)
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
    both = pd.concat([at_own_lambda(), at_own_lambda().query("condition != 'base'").assign(seed=43)], ignore_index=True)
    (axes,) = draw("main_comparison", both, tmp_path).axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(names) == 8 and names[2:4] == ["B · SFT, seed 42", "B · SFT, seed 43"]


def test_accuracy_curve(tmp_path: Path):
    (axes,) = draw("accuracy_curve", at_own_lambda(), tmp_path).axes
    curves = errorbars(axes)
    assert [list(curve.lines[0].get_ydata()) for curve in curves] == [[0.3, 0.5], [0.4, 0.9], [0.1, 0.4]]
    assert legend(axes) == ["Base · 0-shot (10.0%)", "A · 8-shot (40.0%)", *LABELS.values()]


def test_accuracy_curve_with_two_seeds_names_each_condition_once(tmp_path: Path):
    both = pd.concat([at_own_lambda(), at_own_lambda().query("condition != 'base'").assign(seed=43)], ignore_index=True)
    (axes,) = draw("accuracy_curve", both, tmp_path).axes
    assert len(errorbars(axes)) == 6 and len(legend(axes)) == 5


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
    figure = importlib.import_module("fewshot_distillation.analysis.figures.accuracy_curve").draw(spec, accuracy())
    figure.savefig(tmp_path / "figure.png")
    box = figure.axes[0].get_position()
    assert box.width > 0.7 and box.height > 0.35
    legend_box = figure.legends[0].get_window_extent()
    assert legend_box.x0 >= 0 and legend_box.x1 <= figure.bbox.x1
