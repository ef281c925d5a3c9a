"""Tables of a small study that was written by hand."""

import pandas as pd
import pytest

from built_tables import GAP, MAIN, tables
from fewshot_distillation.analysis.collect import last_step
from fewshot_distillation.analysis.comparison import INDISTINGUISHABLE
from fewshot_distillation.analysis.crossed import crossed_difference
from fewshot_distillation.analysis.results import LAST, VALIDATED
from study_tables import LABELS, RIGHT, accuracy, judged, more_seeds


def test_main_comparison():
    """Base models, then each condition at its own λ at the end of training, in the order of the configuration."""
    table = tables()["main_comparison"]
    assert list(table["label"]) == ["Base · 0-shot", "A · 8-shot", *LABELS.values()]
    assert list(table["correct"]) == [1, 4, 5, 9, 4] and list(table["step"]) == [0, 0, 6, 6, 6]
    assert list(table["lambda"].dropna()) == [0.0, 0.5, 0.5]
    assert list(table["checkpoint"]) == ["", "", LAST, LAST, LAST]
    assert (table["truncated"] == 0.2).all() and (table["unparsed"] == 0.1).all()


def test_differences_from_the_few_shot_prompt():
    table = tables()["main_comparison"].set_index("label")
    row = table.loc["C · layer-wise"]
    assert row["vs_fewshot_difference"] == pytest.approx(0.5) and row["vs_fewshot_low"] < 0.5 < row["vs_fewshot_high"]
    assert table.loc["Base · 0-shot", "vs_fewshot_difference"] == pytest.approx(-0.3)
    assert pd.isna(table.loc["A · 8-shot", "vs_fewshot_difference"])


def test_comparisons():
    """Question by question: 5 to 9 right only with C and 0 only with B; McNemar of 5 against 1 gives 0.21875."""
    table = tables()["comparisons"]
    assert list(table["label"]) == ["C · layer-wise", "D · logit KL"] and set(table["against"]) == {"B · SFT"}
    row = table.iloc[0]
    assert row["difference"] == pytest.approx(0.4) and row["low"] < 0.4 < row["high"]
    assert row["p"] == pytest.approx(0.21875) and row["p_corrected"] == pytest.approx(2 * 0.21875)
    assert (row["family"], row["family_size"], row["verdict"]) == ("conditions", 2, INDISTINGUISHABLE)
    assert row["text"].startswith("Not distinguishable at this size: +40.0 points (95 % interval")
    assert "Holm-corrected in the family “conditions” of 2" in row["text"] and "One seed" in row["text"]
    assert table.iloc[1]["difference"] == pytest.approx(-0.1)


def test_only_comparisons_have_p_values():
    """A difference that is shown in several tables is judged in one of them."""
    for name, table in tables(gaps=[GAP]).items():
        assert bool({"p", "p_corrected", "verdict"} & set(table)) == (name == "comparisons")
        assert table.notna().any(axis=None), name


def test_comparisons_with_a_prompt_of_the_base_model():
    table = tables(families={"transfer": [("layerwise", "8shot"), ("8shot", "0shot")]})["comparisons"]
    assert list(table["against"]) == ["A · 8-shot", "Base · 0-shot"] and table["family_size"].eq(2).all()
    assert table["difference"].tolist() == pytest.approx([0.5, 0.3])


def test_every_number_of_examples_is_compared():
    """With the same number on the other side, in one family."""
    extra = {"schedule": "short@n4"}
    scores, answers = (
        pd.concat([table, table[table["condition"] != "base"].assign(**extra)], ignore_index=True)
        for table in (accuracy(), judged())
    )
    wrong = (answers["schedule"] == "short@n4") & (answers["condition"] == "layerwise")
    answers["correct"] = answers["correct"] & ~wrong
    main = [one | size for one in MAIN for size in (extra, {})]
    words = {name: {"short@n4": "4 examples", "short": "all examples"} for name in LABELS}
    pairs = {"transfer": [("layerwise", "sft"), ("layerwise", "8shot")]}
    table = tables(scores, answers, main={"tiny": main}, variants=words, families=pairs)["comparisons"]
    assert list(zip(table["label"], table["against"], table["difference"].round(6), strict=True)) == [
        ("C · layer-wise, 4 examples", "B · SFT, 4 examples", -0.5),
        ("C · layer-wise, all examples", "B · SFT, all examples", 0.4),
        ("C · layer-wise, 4 examples", "A · 8-shot", -0.4),
        ("C · layer-wise, all examples", "A · 8-shot", 0.5),
    ]
    assert set(table["family_size"]) == {4}


def test_a_difference_that_is_mostly_truncation_is_called_that():
    """Questions 5 to 9 are right with C only; of plain fine-tuning their answers were cut, or others were."""
    for cut, part in ((range(5, 10), 0.5), (range(3), -0.1)):
        answers = judged()
        plain = (answers["condition"] == "sft") & (answers["step"] == 6)
        answers["truncated"] = plain & answers["question_index"].isin(cut)
        row = tables(answers=answers)["comparisons"].iloc[0]
        assert row["difference"] == pytest.approx(0.4) and row["from_cut"] == pytest.approx(part)
        said = "**The difference is mostly truncation**: questions of which an answer was cut"
        assert (said in row["text"]) == (part > 0.2)
    assert tables()["comparisons"]["from_cut"].eq(0).all()


def test_base_models_are_named_after_their_teachers():
    teachers = {0: "zeroshot", 8: "shuffled"}
    scores, answers = (
        table.assign(teacher=table["shots"].map(teachers).where(table["condition"] == "base", None))
        for table in (accuracy(), judged())
    )
    prompts = {"zeroshot": "Base", "shuffled": "Shuffled answers"}
    table = tables(scores, answers, families={"a": [("sft", "shuffled")]}, prompts=prompts, fewshot=None)
    assert list(table["main_comparison"]["label"])[:2] == ["Base", "Shuffled answers"]
    assert table["main_comparison"]["vs_fewshot_difference"].isna().all()
    assert list(table["comparisons"]["against"]) == ["Shuffled answers"]


def test_checkpoints_are_compared_at_their_own_step():
    table = tables()["checkpoint_curve"].set_index(["condition", "lambda", "step"])
    assert len(table) == 8
    assert table.loc[("layerwise", 0.5, 3), "vs_plain_difference"] == pytest.approx(0.1)
    assert table.loc[("layerwise", 0.5, 6), "vs_plain_difference"] == pytest.approx(0.4)
    assert table.loc[("layerwise", 0.1, 6), "vs_plain_difference"] == pytest.approx(0.0)
    assert table.loc["sft", "vs_plain_difference"].isna().all()


def test_lambda_sweep():
    table = tables()["lambda_sweep"]
    assert list(zip(table["condition"], table["lambda"], table["correct"], strict=True)) == [
        ("layerwise", 0.1, 5), ("layerwise", 0.5, 9), ("sft", 0.0, 5),
    ]  # fmt: skip
    assert tables(sweeps={"tiny": []})["lambda_sweep"].empty


def test_without_plain_fine_tuning_there_is_nothing_to_compare_with():
    found = tables(plain=None, families={})
    assert found["main_comparison"]["vs_plain_difference"].isna().all() and found["comparisons"].empty
    assert found["main_comparison"]["vs_fewshot_difference"].notna().sum() == 4


def test_without_base_models():
    table = tables(accuracy().query("condition != 'base'"))["main_comparison"]
    assert len(table) == 3 and table["vs_fewshot_difference"].isna().all()


def test_runs_that_answered_other_questions_are_not_compared():
    fewer = judged().query("not (condition == 'layerwise' and question_index == 3)")
    with pytest.raises(ValueError, match="tiny layerwise: compared runs answered different questions"):
        tables(answers=fewer)


def test_last_step_of_each_run():
    table = last_step(accuracy())
    assert list(table["step"]) == [0, 0, 6, 6, 6, 6]


# --- several seeds ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pooled() -> dict[str, pd.DataFrame]:
    return tables(*more_seeds())


def test_seeds_are_one_row(pooled: dict[str, pd.DataFrame]):
    table = pooled["main_comparison"].set_index("label")
    assert len(table) == 5 and list(table["seeds"]) == [1, 1, 3, 3, 3]
    row = table.loc["C · layer-wise"]
    each = pooled["seeds"].query("condition == 'layerwise' and step == 6 and `lambda` == 0.5")
    assert len(each) == 3 and row["correct"] == each["correct"].sum() and row["answers"] == 30
    assert row["accuracy"] == pytest.approx(each["accuracy"].mean()) and row["low"] < row["accuracy"] < row["high"]


def test_a_family_does_not_grow_with_seeds(pooled: dict[str, pd.DataFrame]):
    """One comparison over seeds and questions together, and its estimate is that of the answers themselves."""
    table = pooled["comparisons"]
    assert len(table) == 2 and set(table["family_size"]) == {2} and set(table["seeds"]) == {3}
    answers = more_seeds()[1].query("step == 6 and `lambda` != 0.1")
    sides = [
        answers.query("condition == @name")
        .pivot(index="seed", columns="question_index", values="correct")
        .to_numpy(bool)
        for name in ("layerwise", "sft")
    ]
    expected = crossed_difference(*sides)
    assert table.iloc[0]["difference"] == pytest.approx(float(expected.value))
    assert table.iloc[0]["p"] == pytest.approx(float(expected.p_value()))
    assert "One seed" not in table.iloc[0]["text"]


def test_a_base_model_counts_once(pooled: dict[str, pd.DataFrame]):
    """It has no seed, so none is guessed for it."""
    row = pooled["main_comparison"].set_index("label").loc["A · 8-shot"]
    assert (row["seeds"], row["correct"], row["answers"]) == (1, 4, 10)


def validated(scores: pd.DataFrame) -> pd.DataFrame:
    """With accuracies on validation questions: every run is best at step 3, and λ = 0.1 is better than 0.5."""
    theirs = scores[scores["condition"] != "base"].copy()
    theirs["accuracy"] = 0.5 + 0.2 * (theirs["step"] == 3) + 0.1 * (theirs["lambda"] == 0.1)
    return pd.concat([scores.assign(split="test"), theirs.assign(split="validation")], ignore_index=True)


def test_validation_chooses_checkpoints_and_the_weight():
    """And the test questions of what was chosen are reported."""
    found = tables(validated(accuracy()), judged().assign(split="test"))
    table = found["main_comparison"].set_index("label")
    row = table.loc["C · layer-wise"]
    assert (row["lambda"], row["step"], row["checkpoint"]) == (0.1, 3, VALIDATED)
    assert row["correct"] == len(RIGHT["layerwise", 0.1, 42, "short", 3, 0])
    compared = found["comparisons"].set_index("label").loc["C · layer-wise"]
    assert compared["lambda"] == 0.1 and compared["difference"] == pytest.approx(-0.1)
    chosen = found["seeds"].query("chosen")
    assert (chosen["step"] == 3).all() and len(chosen) == 4 and len(found["seeds"]) == 8


def test_each_seed_has_its_own_checkpoint():
    scores, answers = more_seeds()
    scores = validated(scores)
    later = (scores["split"] == "validation") & (scores["seed"] == 43) & (scores["step"] == 6)
    scores.loc[later, "accuracy"] = 0.99
    row = tables(scores, answers)["main_comparison"].set_index("label").loc["B · SFT"]
    steps = {42: 3, 43: 6, 44: 3}
    right = answers.query("condition == 'sft'")
    assert row["correct"] == sum(right.query("seed == @s and step == @n")["correct"].sum() for s, n in steps.items())
    assert pd.isna(row["step"])


def test_equal_on_validation_is_the_earliest():
    scores = validated(accuracy())
    scores.loc[scores["split"] == "validation", "accuracy"] = 0.5
    assert (tables(scores)["main_comparison"].query("condition != 'base'")["step"] == 3).all()
