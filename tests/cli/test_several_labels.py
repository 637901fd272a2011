"""Commands on multi-label data: VOC2007 from its archives to a mean average precision, and rejected protocols."""

import shutil

import pytest

from tests.datasets.kornblith_trees import voc2007

MODEL = ("--model", "random:resnet10t", "--size", "32")


@pytest.fixture
def planted(tmp_path):
    voc2007(tmp_path / "ws/data/voc2007")


def archives(tree, folder):
    """Write two tar files as published: one for test, one for the other splits."""
    for name, of_test in {"VOCtrainval_06-Nov-2007": False, "VOCtest_06-Nov-2007": True}.items():
        part = folder / name
        for path in tree.rglob("*.*"):
            about_test = path.stem.endswith("test") or (path.stem.isdigit() and int(path.stem) > 40)
            if about_test == of_test:
                (place := part / path.relative_to(tree)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)
        shutil.make_archive(str(folder / name), "tar", part)
    return [str(folder / f"{name}.tar") for name in ("VOCtrainval_06-Nov-2007", "VOCtest_06-Nov-2007")]


def test_archives_are_prepared_and_scored_by_mean_average_precision(answered, tmp_path):
    voc2007(tmp_path / "mine")
    (tmp_path / "packed").mkdir()
    trainval, test = archives(tmp_path / "mine", tmp_path / "packed")
    code, _, said = answered("datasets", "prepare", "voc2007", "--from", trainval)
    assert (code, "this is not voc2007, or it is incomplete" in said) == (1, True)
    code, (prepared,), _ = answered("datasets", "prepare", "voc2007", "--from", trainval, "--from", test)
    assert (code, prepared["how"], prepared["images"], prepared["classes"]) == (0, "unpacked", 70, 20)

    code, (verdict,), _ = answered("datasets", "verify", "voc2007")
    assert (code, verdict["counts"]) == (1, {"train": 24, "val": 16, "test": 30})
    small = ("published are", "classes without an image in train")
    assert [one for one in verdict["problems"] if not any(words in one for words in small)] == []

    sheet = tmp_path / "sheet.png"
    code, (info,), _ = answered("datasets", "info", "voc2007", "--contact-sheet", str(sheet))
    assert (code, info["classes"]["dog"], info["classes"]["cat"]) == (0, 23, 0)
    assert sheet.exists()

    asked = (
        "probe",
        "--data",
        "voc2007",
        "--protocol",
        "linear,knn",
        "--penalties",
        "5",
        "--k",
        "1,5",
        *MODEL,
    )
    code, records, _ = answered(*asked)
    assert code == 0
    for record in records:
        assert (record["metric"], record["n"], record["outcomes"]) == ("map11", 30, None)
        assert (record["selected_on"], record["evaluated_on"]) == ("val", "test")
        assert 0 <= record["ci_low"] <= record["value"] <= record["ci_high"] <= 1
        assert set(record["extra_metrics"]["ap11"]) == {"dog", "person", "chair"}
        assert len(record["extra_metrics"]["absent_from_test"]) == 17
    assert len(records[0]["extra_metrics"]["not_fitted"]) == 17
    assert answered(*asked)[1] == records, "finished cells are kept"


def test_a_prepared_detection_set_serves_as_classification_set(answered, tmp_path):
    voc2007(tmp_path / "ws/data/voc0712")
    code, (prepared,), _ = answered("datasets", "prepare", "voc2007", "--from", str(tmp_path / "ws/data/voc0712"))
    assert (code, prepared["how"]) == (0, "linked")


SINGLE = "voc2007 has several labels per image, but {} needs one label per image. {}"
PROBE = "Use transferkit probe --protocol linear or knn."


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("probe --protocol fewshot", SINGLE.format("few-shot recognition", "Use --protocol linear or knn.")),
        ("probe --protocol linear --solver sgd", SINGLE.format("--solver sgd", "Use --solver lbfgs.")),
        (
            "probe --protocol semantic --level high",
            SINGLE.format("the level high", "Use the levels low and mid, or --protocol linear"),
        ),
        ("finetune --epochs 1", SINGLE.format("fine-tuning", PROBE)),
        ("analyze separation", SINGLE.format("class separation", PROBE)),
        ("analyze transferability", SINGLE.format("a score of transferability", PROBE)),
        ("analyze robustness", SINGLE.format("robustness", PROBE)),
        (
            "pretrain --epochs 2 --batch 4",
            SINGLE.format("pretraining", "Use --loss selfsupcon with --data folder:PATH"),
        ),
        (
            "probe --protocol linear --shots-per-class 2",
            SINGLE.format("@shots=2", "Use @limit=N (--limit N)."),
        ),
    ],
)
def test_commands_that_need_one_label_give_an_error_of_one_line(planted, answered, command, words):
    model = ("--model", "pixels", "--size", "32") if command.split()[0] in ("probe", "analyze") else MODEL
    code, value, said = answered(*command.split(), "--data", "voc2007", *model)
    assert code == 1, said
    assert not value
    assert said.startswith(f"Error: {words}"), said


def test_the_remaining_data_sets_are_named(planted, answered):
    code, _, said = answered("analyze", "separation", "--data", "mini/digits,voc2007", "--model", "pixels")
    assert (code, said.endswith("linear or knn. Leave it out here: --data mini/digits.")) == (1, True)


def test_levels_without_classes_are_still_scored(planted, answered):
    asked = ("--data", "voc2007", "--model", "pixels", "--size", "32")
    for level in ("low,high", "low"):  # the former first: finished cells are kept
        code, records, said = answered("probe", "--protocol", "semantic", "--level", level, *asked)
        assert [one["settings"]["level"] for one in records] == ["low"]
        assert (code, "the level high needs one label" in said) == ((1, True) if "high" in level else (0, False))
    code, (record,), _ = answered("probe", "--protocol", "linear", "--penalties", "3", "--limit", "20", *asked)
    assert (code, record["data"], record["n"]) == (0, "voc2007@limit=20", 30)


def test_rows_of_a_ranking_are_not_paired(planted, answered, tmp_path):
    models = ("--model", "pixels,random:resnet10t", "--size", "32", "--penalties", "3")
    code, found, said = answered("probe", "--data", "voc2007", "--protocol", "linear", "--compare", *models)
    assert (code, len(found["results"]), found["comparisons"]) == (1, 2, [])
    words = "map11 ranks all rows together, so that single rows are neither right nor wrong and cannot be paired."
    assert words in found["refused"][0]
    assert words in said
    code, _, said = answered("report", "--output", str(tmp_path / "r.html"))
    assert code == 0
    assert (
        SINGLE.format("a gallery", "Choose another data set with --gallery, or none.")
        in (tmp_path / "r.html").read_text() + said
    )
