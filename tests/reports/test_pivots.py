"""Tables for texts and papers."""

from tests.reports.records import record
from tests.reports.studied import outcomes, study
from transferkit.reports.pivots import as_latex_pivot, as_markdown_pivot
from transferkit.reports.result_table import result_table


def test_markdown_has_one_table_per_recipe():
    text = as_markdown_pivot(result_table(study()))
    assert text.count("## ") == 7  # the first table compares all recipes
    head = next(line for line in text.splitlines() if line.startswith("| model | mini"))
    assert head == "| model | mini/leaves | mini/digits | mini/cells | folder:mine | mean | rank |"


def test_bold_is_significant():
    clear = [record(m, "d", c, outcomes=outcomes(c, "d")) for m, c in (("a", 0.9), ("b", 0.5))]
    assert "| a | **0.900** ±0.010 | 0.900 | 1.0 |" in as_markdown_pivot(result_table(clear))
    assert r"a & \textbf{0.900} {\scriptsize $\pm$0.010} & 0.900 & 1.0 \\" in as_latex_pivot(result_table(clear))
    close = [record(m, "d", c, half=0.05) for m, c in (("a", 0.52), ("b", 0.5))]
    assert "**" not in as_markdown_pivot(result_table(close))
    assert "textbf" not in as_latex_pivot(result_table(close))


def test_missing_values_are_dashes_and_data_sets_of_other_recipes_are_dropped():
    records = [record("a", "x", 0.5), record("a", "y", 0.5), record("b", "x", 0.4)]
    records.append(record("a", "z", 0.5, protocol="knn"))
    linear = as_markdown_pivot(result_table(records)).split("## ")[2]
    assert "| model | x | y | mean | rank |" in linear
    assert "| b | 0.400 ±0.010 | – | 0.400 | 2.0 |" in linear


def test_a_model_on_the_data_that_it_was_trained_on_is_marked():
    records = [record("a", "x", 0.5, extra_metrics={"trained_on": "x"}), record("a", "y", 0.4), record("b", "x", 0.3)]
    markdown, latex = as_markdown_pivot(result_table(records)), as_latex_pivot(result_table(records))
    assert "| a | 0.500 ±0.010 † | 0.400 ±0.010 |" in markdown.replace("**", "")
    assert markdown.count("†") == 2
    assert "† The model was trained on this data set" in markdown
    assert latex.count(r"$^\dagger$") == 2
    assert "†" not in latex
    assert "†" not in as_markdown_pivot(result_table([record("b", "x", 0.3), record("a", "y", 0.4)]))


def test_names_are_escaped():
    records = [record("a_1", "p|q", 0.5), record("<b>", "p|q", 0.4)]
    assert "p\\|q" in as_markdown_pivot(result_table(records))
    assert "&lt;b>" in as_markdown_pivot(result_table(records))
    assert r"a\_1" in as_latex_pivot(result_table(records))
