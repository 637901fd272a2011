"""Scores of detected boxes, compared with slow loops and with pycocotools, and for empty inputs."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest

from tests.data.detection.trees import coco_tree, marked
from tests.detection.ground_truth import CLASSES, found, objects, search
from tests.reference import detection as reference
from transferkit.core.errors import DamagedError, DataError, MissingExtraError, NonFiniteError, ShapeError
from transferkit.data.detection import open_detection
from transferkit.detection.coco import NAMES, annotations, answers_of, coco_score, require_evaluator
from transferkit.detection.detections import Detections, read_found, write_found
from transferkit.detection.matching import COCO_THRESHOLDS, class_matches, overlaps
from transferkit.detection.scoring import (
    Search,
    average_precision,
    detection_score,
    image_bootstrap,
    mean_average_precision,
)

SIZES = np.full((12, 2), 256)


def plain(answers, ground_truth):
    """Convert answers and ground truth to the lists that the reference takes."""
    return (
        [list(zip(a.boxes.tolist(), a.labels.tolist(), a.scores.tolist(), strict=True)) for a in answers],
        [list(zip(m.boxes.tolist(), m.labels.tolist(), m.difficult.tolist(), strict=True)) for m in ground_truth],
    )


def voc(answers, ground_truth, label, threshold=0.5):
    return class_matches(answers, ground_truth, label, thresholds=[threshold], rule="voc")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_voc_precision_is_that_of_plain_loops(seed, threshold):
    answers, ground_truth = search(seed)
    for label in range(2):
        matches = voc(answers, ground_truth, label, threshold)
        recalls, precisions = reference.voc_curve(*plain(answers, ground_truth), label, threshold)
        eleven = average_precision(matches, "eleven")[0]
        assert eleven == pytest.approx(reference.eleven_points(recalls, precisions), abs=1e-12)
        assert average_precision(matches, "all")[0] == pytest.approx(
            reference.all_points(recalls, precisions), abs=1e-12
        )


def test_precision_of_a_small_example():
    """With four objects, the answers right, wrong, right have precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2."""
    places = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (60, 0, 70, 10)]
    ground_truth = [objects(places, [0] * 4)]
    answers = [found([places[0], (100, 0, 110, 10), places[1]], [0] * 3, [0.9, 0.8, 0.7])]
    matches = voc(answers, ground_truth, 0)
    assert average_precision(matches, "all")[0] == pytest.approx(1 / 4 + 1 / 4 * 2 / 3)
    assert average_precision(matches, "eleven")[0] == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    assert average_precision(matches, "hundred-one")[0] == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)


def test_the_rules_differ_if_an_object_is_already_matched():
    """Both boxes overlap most with the first object; the second box also matches the other object."""
    ground_truth = [objects([(0, 0, 10, 10), (2, 0, 12, 10)], [0, 0])]
    answers = [found([(0, 0, 10, 10), (0.5, 0, 10.5, 10)], [0, 0], [0.9, 0.8])]
    by_voc = class_matches(answers, ground_truth, 0, thresholds=[0.5], rule="voc")
    by_coco = class_matches(answers, ground_truth, 0, thresholds=[0.5], rule="coco")
    assert by_voc.right.tolist() == [[True, False]]
    assert by_coco.right.tolist() == [[True, True]]


def test_difficult_objects_count_neither_way():
    ground_truth = [objects([(0, 0, 10, 10), (50, 0, 60, 10)], [0, 0], difficult=[True, False])]
    answers = [found([(0, 0, 10, 10), (0, 0, 10, 10), (50, 0, 60, 10)], [0] * 3, [0.9, 0.8, 0.7])]
    matches = voc(answers, ground_truth, 0)
    assert matches.ignored.tolist() == [[True, True, False]]
    assert average_precision(matches, "all") == 1
    assert matches.objects.tolist() == [1]


@pytest.mark.parametrize("rule", ["voc", "coco"])
def test_images_in_another_order_change_nothing(rule):
    answers, ground_truth = search(3)
    order = np.random.default_rng(0).permutation(len(ground_truth))
    one = class_matches(answers, ground_truth, 0, thresholds=COCO_THRESHOLDS, rule=rule)
    other = class_matches(
        [answers[i] for i in order], [ground_truth[i] for i in order], 0, thresholds=COCO_THRESHOLDS, rule=rule
    )
    np.testing.assert_allclose(average_precision(one, "all"), average_precision(other, "all"))


def test_perfect_answers_have_a_precision_of_one():
    _, ground_truth = search(1, hard=False)
    answers = [found(m.boxes, m.labels, np.linspace(0.9, 0.5, len(m))) for m in ground_truth]
    score = coco_score(answers, ground_truth, SIZES, CLASSES)
    assert score.means["ap"] == pytest.approx(1)
    everything = [class_matches(answers, ground_truth, c, thresholds=[0.5], rule="voc") for c in range(3)]
    assert mean_average_precision(everything, "eleven") == 1


def pycocotools_run(dataset, answers):
    """Evaluated and summarised: a file's content against answers in COCO's form."""
    module = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(io.StringIO()):
        truth = module.COCO()
        truth.dataset = dataset
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(answers), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


def pycocotools_numbers(answers, ground_truth):
    return pycocotools_run(annotations(ground_truth, SIZES, CLASSES), answers_of(answers))


@pytest.mark.parametrize("seed", range(4))
def test_coco_numbers_are_those_of_pycocotools(seed):
    answers, ground_truth = search(seed, hard=True, crowds=True)
    theirs = pycocotools_numbers(answers, ground_truth)
    ours = coco_score(answers, ground_truth, SIZES, CLASSES)
    for name, value in zip(NAMES, theirs.stats[:6], strict=True):
        assert (-1 if ours.means[name] is None else ours.means[name]) == pytest.approx(value, abs=1e-9), name
    precision = theirs.eval["precision"][:, :, :, 0, -1]
    assert ours.per_class[:2] == pytest.approx([precision[:, :, c].mean() for c in range(2)], abs=1e-9)
    assert ours.per_class[2] is None  # no owl is marked


def boxes_over_edges(images, rng):
    """Forty annotations of images of 40×24 pixels; the crowds among them are the multiples of seven."""
    corners, sides = rng.uniform(-6, 16, (40, 2)).tolist(), rng.uniform(7, 40, (40, 2)).tolist()
    for number, (corner, side) in enumerate(zip(corners, sides, strict=True), 1):
        image, category = int(rng.choice(images)), int(rng.choice([1, 13, 90]))
        crowd = int(number % 7 == 0)
        yield marked(number, image, [*corner, *side], category, crowd, area=side[0] * side[1])


def test_a_file_scores_as_by_pycocotools(tmp_path):
    """Boxes that extend over the edges are scored as annotated; ``iscrowd`` may be text."""
    folder, rng = coco_tree(tmp_path / "coco"), np.random.default_rng(0)
    file = folder / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    images = [image["id"] for image in content["images"]]
    content["annotations"] = list(boxes_over_edges(images, rng))
    as_text = [{**one, "iscrowd": str(one["iscrowd"])} for one in content["annotations"]]
    file.write_text(json.dumps({**content, "annotations": as_text}))
    dataset = open_detection(f"coco:{folder}", root=tmp_path)
    split = dataset.split("val")
    assert sum(map(len, split.objects)) == 40
    answers = []
    for one in split.objects:
        moved = one.boxes + rng.normal(0, 1, one.boxes.shape)
        inside = moved.clip(0, [40, 24, 40, 24])  # as a detector's boxes are
        answers.append(found(inside, one.labels, rng.random(len(one))))
    theirs = answers_of(answers)
    for answer in theirs:
        answer["image_id"] = images[answer["image_id"] - 1]
        answer["category_id"] = dataset.category_ids[answer["category_id"] - 1]
    stats = pycocotools_run(content, theirs).stats
    ours = coco_score(answers, split.objects, split.sizes, split.classes)
    assert 0.1 < stats[0] < 0.9
    for name, value in zip(NAMES, stats[:6], strict=True):
        assert (-1 if ours.means[name] is None else ours.means[name]) == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("seed", range(4))
def test_our_own_matching_by_cocos_rule_has_cocos_precision(seed):
    answers, ground_truth = search(seed, hard=True, crowds=True)
    theirs = pycocotools_numbers(answers, ground_truth).eval["precision"][:, :, :, 0, -1]
    for label in range(2):
        matches = class_matches(answers, ground_truth, label, thresholds=COCO_THRESHOLDS, rule="coco")
        np.testing.assert_allclose(average_precision(matches, "hundred-one"), theirs[:, :, label].mean(1), atol=1e-9)


def test_weights_are_repetitions():
    answers, ground_truth = search(5)
    times = np.array([2, 0, 1, 3, 1, 1, 0, 1, 2, 1, 1, 1])
    rows = np.repeat(np.arange(12), times)
    once = class_matches(answers, ground_truth, 0, thresholds=[0.5], rule="voc")
    again = class_matches([answers[i] for i in rows], [ground_truth[i] for i in rows], 0, thresholds=[0.5], rule="voc")
    weighted = average_precision(once, "all", times.astype(float))
    np.testing.assert_allclose(weighted, average_precision(again, "all"), atol=0.02)  # equal scores, cut


def test_an_interval_lies_around_the_value():
    answers, ground_truth = search(2, images=40)
    matches = [voc(answers, ground_truth, label) for label in range(2)]
    value = mean_average_precision(matches, "eleven")
    interval = image_bootstrap(matches, "eleven", draws=100, rng=np.random.default_rng(0))
    assert interval.low < value < interval.high
    assert interval.method == "bootstrap of 100 draws of images"


def test_few_images_have_no_interval():
    answers, ground_truth = search(2, images=6)
    interval = image_bootstrap([voc(answers, ground_truth, 0)], "eleven", draws=5, rng=np.random.default_rng(0))
    assert interval.limits is None


def test_nothing_found_and_nothing_there():
    ground_truth = [objects([(0, 0, 10, 10)], [0]), objects([], [])]
    nothing = [Detections.nothing(), Detections.nothing()]
    score = coco_score(nothing, ground_truth, SIZES[:2], CLASSES)
    assert score.means == {
        **dict.fromkeys(NAMES, 0.0),
        "ap_medium": None,
        "ap_large": None,
    }
    assert score.per_class == (0.0, None, None)
    assert average_precision(voc(nothing, ground_truth, 0), "eleven") == 0
    assert average_precision(voc(nothing, ground_truth, 1), "eleven") is None
    assert mean_average_precision([voc(nothing, ground_truth, 1)], "all") is None


def test_a_box_without_area_is_wrong_and_a_box_without_objects_too():
    ground_truth = [objects([(0, 0, 10, 10)], [0]), objects([], [])]
    answers = [found([(5, 5, 5, 5)], [0], [0.9]), found([(0, 0, 10, 10)], [0], [0.8])]
    matches = voc(answers, ground_truth, 0)
    assert not matches.right.any()
    assert not matches.ignored.any()
    none = overlaps(np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(1, bool))
    assert none.tolist() == [[0.0]]


def test_a_record_has_both_kinds_of_numbers():
    answers, ground_truth = search(0)
    one = Search(answers, ground_truth, SIZES, CLASSES, "test")
    score = detection_score(one, rule="voc", seed=0, extra_metrics={"steps": 3}, seconds={"fit": 1.0})
    assert (score.metric, score.evaluated_on, score.selected_on, score.n) == ("ap50", "test", "none", 12)
    assert score.value == score.extra_metrics["voc"]["ap50_11point"]
    assert score.interval.low < score.value < score.interval.high
    assert score.extra_metrics["steps"] == 3
    assert score.extra_metrics["per_class"]["owl"]["ap50_11point"] is None
    assert score.extra_metrics["per_class"]["cat"]["objects"] > 0
    coco = detection_score(one, rule="coco", seed=0, extra_metrics={}, seconds={})
    assert coco.metric == "ap"
    assert coco.value == score.extra_metrics["coco"]["ap"]
    assert coco.interval.low < coco.value < coco.interval.high


def test_a_search_for_nothing_is_refused():
    one = Search([Detections.nothing()], [objects([], [])], SIZES[:1], CLASSES, "test")
    with pytest.raises(DataError, match="The split test has no objects that count"):
        detection_score(one, rule="voc", seed=0, extra_metrics={}, seconds={})


def test_found_boxes_on_disk(tmp_path):
    answers, _ = search(4)
    path = tmp_path / "a" / "detections.npz"
    write_found(path, [*answers, Detections.nothing()])
    back = read_found(path)
    assert len(back) == 13
    for one, other in zip(answers, back, strict=False):
        for name in ("boxes", "labels", "scores"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    write_found(path, [])
    assert read_found(path) == []
    path.write_bytes(b"PK but no more")
    with pytest.raises(DamagedError, match=r"holds no detections .* --force"):
        read_found(path)


def test_found_boxes_fit_together():
    with pytest.raises(ShapeError, match=r"1 labels need boxes \[1, 4\] and scores \[1\], not \[2, 4\]"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(1, np.int64), np.zeros(1, np.float32))
    with pytest.raises(NonFiniteError, match="give a smaller --lr"):
        found([(0, 0, 1, np.nan)], [0], [0.5])
    with pytest.raises(ShapeError, match="detections of 0 images and ground truth of 1"):
        voc([], [objects([], [])], 0)


def test_without_the_extra_one_line_says_which(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faster_coco_eval", None)
    with pytest.raises(MissingExtraError, match=r"faster-coco-eval is needed .* 'transferkit\[detection\]"):
        require_evaluator()
