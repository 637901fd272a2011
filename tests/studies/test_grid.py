"""The grid of a study: how many tasks, which wait for which, and ids that stay."""

import json

from transferkit.studies.grid import Task, grid_of
from transferkit.studies.reading import parse_study

TEXT = """
models = ["pixels"]
data = ["mini/digits", "mini/leaves"]
[sizes]
"run:*" = 40
[[pretrain]]
loss = ["ce", "joint"]
[[probe]]
protocol = "fewshot"
shots = [1, 5]
[[probe]]
protocol = "linear"
layers = ["stages"]
seeds = [0, 1]
models = ["run:*"]
[[finetune]]
models = ["run:s-ce"]
[[analyze]]
kind = "cka"
[[analyze]]
kind = "separation"
models = ["pixels"]
"""


def grid(text=TEXT):
    return grid_of(parse_study(text, where="s.toml"))


def of_kind(tasks, kind):
    return [task for task in tasks.values() if task.kind == kind]


def test_one_task_a_question_model_data_set_and_seed():
    tasks = grid()
    count = {kind: len(of_kind(tasks, kind)) for kind in ("pretrain", "extract", "probe", "finetune", "analyze")}
    assert count == {
        "pretrain": 2,
        "extract": (1 + 2 * 2) * 2,  # pixels by one seed, each run by two, over two sets
        "probe": (2 * 3 + 2 * 2) * 2,
        "finetune": 2,
        "analyze": 2 + 2,
    }


def test_every_task_waits_only_for_what_stands_before_it():
    seen = set()
    for name, task in grid().items():
        assert name == task.id
        assert seen.issuperset(task.after)
        seen.add(name)


def test_features_wait_for_their_run_and_questions_for_their_features():
    tasks = grid()
    for task in tasks.values():
        before = [tasks[name] for name in task.after]
        if task.kind == "extract":
            assert [one.what["run"] for one in before] == [m[4:] for m in task.models if m != "pixels"]
        elif task.kind in ("probe", "analyze"):
            assert [one.models for one in before] == [(model,) for model in task.models]
            assert {(one.what["data"], one.what["seed"]) for one in before} == {(task.what["data"], task.what["seed"])}
        elif task.kind == "finetune":
            assert [one.kind for one in before] == ["pretrain"]


def test_the_best_of_a_run_and_a_run_that_goes_on_from_another_wait_for_it():
    tasks = grid(
        'data = ["mini/digits"]\n[[pretrain]]\nname = "one"\nloss = "ce"\n'
        '[[pretrain]]\nname = "two"\nloss = "ce"\nmodel = "run:one"\n[[probe]]\n'
        'models = ["run:one@best"]\n'
    )
    one, two = of_kind(tasks, "pretrain")
    assert two.after == (one.id,)
    (extract,) = of_kind(tasks, "extract")
    assert (extract.models, extract.after) == (("run:one@best",), (one.id,))


def test_features_are_taken_once_of_all_layers_that_anything_asks_for():
    layers = {(task.models[0], task.what["seed"]): task.what["layers"] for task in of_kind(grid(), "extract")}
    assert layers["run:s-ce", 0] == ["last", "stages"]
    assert layers["run:s-ce", 1] == ["stages"]
    assert layers["pixels", 0] == ["last"]


def test_models_are_shown_what_the_study_says():
    for task in grid().values():
        for model, size in task.what.get("sizes", {}).items():
            assert size == (None if model == "pixels" else 40)


def test_ids_do_not_depend_on_what_else_is_asked():
    """All shots of a curve use the same classes; ``min_rows_per_class`` selects these for one number of shots."""
    whole = grid()
    fewer = grid(TEXT.replace("shots = [1, 5]", "shots = 5\nmin_rows_per_class = 20"))
    assert {name for name in whole if name.startswith("probe")} > {n for n in fewer if n.startswith("probe")}
    changed = grid(TEXT.replace("40", "41"))
    assert {task.id for task in of_kind(changed, "extract") if task.models == ("pixels",)} <= whole.keys()
    assert not {task.id for task in of_kind(changed, "extract") if task.models != ("pixels",)} & whole.keys()


def test_a_task_survives_json():
    for task in grid().values():
        again = Task.from_json(json.loads(json.dumps(task.to_json())))
        assert again == task
        assert again.id == task.id


def test_several_hands_fill_the_features_of_one_model_together():
    text = 'workers_per_entry = 3\nmodels = ["pixels"]\ndata = ["mini/digits"]\n[[probe]]\n'
    tasks = grid(text)
    assert [task.what["hand"] for task in of_kind(tasks, "extract")] == [0, 1, 2]
    (probe,) = of_kind(tasks, "probe")
    assert len(probe.after) == 3


def test_nothing_is_extracted_for_fine_tuning_alone():
    tasks = grid('models = ["random:resnet18"]\ndata = ["mini/digits"]\n[[finetune]]\n')
    assert [task.kind for task in tasks.values()] == ["finetune"]
