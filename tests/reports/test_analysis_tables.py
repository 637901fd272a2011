"""Tables of analyses, from values that are not computed."""

import numpy as np

from tests.reports.records import record
from transferkit.analysis.cka import CkaMatrix
from transferkit.analysis.inversion_settings import InversionSettings
from transferkit.core.results import Results
from transferkit.protocols.analyses.similarity import Similarity
from transferkit.protocols.analyses.transferability import Agreement, Transferability
from transferkit.protocols.invert import Inversions, Reconstructions
from transferkit.protocols.invert_settings import InvertSettings
from transferkit.reports.analysis_tables import (
    SEPARATION_COLUMNS,
    inversion_table,
    robustness_table,
    separation_table,
    similarity_table,
    transferability_tables,
)


def rows_of(table) -> list[list[str]]:
    return [[str(cell) for cell in row] for row in table.rows]


def test_similarities_have_numbered_layers_and_name_constant_ones():
    names = ("m a", "m b")
    matrix = CkaMatrix(names, names, ((1.0, None), (None, None)), (("m b",), ("m b",)), 72, 1)
    table = similarity_table(Similarity("mini/digits", names, matrix, ()))
    assert table.title == "CKA on mini/digits, 72 rows"
    assert [column.heading for column in table.columns] == ["#", "layer", "1", "2"]
    assert rows_of(table) == [["1", "m a", "1.00", "constant"], ["2", "m b", "constant", "constant"]]


def test_separations_have_three_digits_and_large_or_unknown_values_fewer():
    values = dict.fromkeys(SEPARATION_COLUMNS, 0.12345) | {"effective_rank": 123.45, "spectrum_decay": None}
    (row,) = rows_of(separation_table([record("m", "d", 0.5, layer="a", extra_metrics=values)]))
    assert row == ["m", "d", "a", *["0.123"] * 5, "123", "–"]


def test_robustness_has_a_row_per_measure_and_corruption_with_the_clean_value_at_severity_0():
    conditions = (("clean", 0, 0.9), ("noise", 1, 0.8), ("noise", 5, 0.4), ("blur", 5, 0.5))
    records = Results(
        record("m", "d", value, settings={"corruption": kind, "severity": level}, extra_metrics={"ece": value / 10})
        for kind, level, value in conditions
    )
    table = robustness_table(records)
    assert [column.heading for column in table.columns[4:]] == ["corruption", "0", "1", "5"]
    assert rows_of(table) == [
        ["accuracy", "m", "d", "last", "noise", "0.900", "0.800", "0.400"],
        ["accuracy", "m", "d", "last", "blur", "0.900", "–", "0.500"],
        ["calibration error", "m", "d", "last", "noise", "0.090", "0.080", "0.040"],
        ["calibration error", "m", "d", "last", "blur", "0.090", "–", "0.050"],
    ]


def test_transferability_shows_scores_and_their_agreement():
    records = Results([record("m", "d", 0.25, metric="logme"), record("n", "d", 0.5, metric="leep")])
    agreements = (Agreement("d", "logme", "linear", 0.5, 3), Agreement("d", "leep", "linear", None, 2))
    scores, _, agreement = transferability_tables(Transferability(records, (), agreements))
    assert rows_of(scores) == [["m", "d", "last", "0.250", "–"], ["n", "d", "last", "–", "0.500"]]
    assert rows_of(agreement) == [["d", "linear", "3", "+0.50", "–"]]


def test_transferability_without_accuracies_says_what_to_run():
    *_, sentence = transferability_tables(Transferability(Results(), (), ()))
    assert "run transferkit probe for the same models" in sentence


def test_inversions_show_means_over_images_and_mark_a_missing_measure():
    pictures = np.zeros((2, 3, 4, 4), np.uint8)
    measures = {"distance": (0.1, 0.3), "psnr": (20.0, 21.0), "ssim": (0.5, 0.7)}
    reconstructions = [
        Reconstructions("m", "w", layer, (128, 4, 4), found, pictures, 1.0)
        for layer, found in (("a", measures), ("b", {**measures, "perceptual": (0.25, 0.5)}))
    ]
    found = Inversions(
        "d", "test", ("x", "y"), pictures, tuple(reconstructions), InvertSettings(), InversionSettings(), 0
    )
    assert rows_of(inversion_table(found)) == [
        ["m", "a", "128×4×4", "0.2", "20.5", "0.600", "–", "2"],
        ["m", "b", "128×4×4", "0.2", "20.5", "0.600", "0.375", "2"],
    ]
