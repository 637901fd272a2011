"""Study files as they are read: what they mean, and how each mistake is answered."""

import pytest

from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.data.published import PUBLISHED
from transferkit.datasets import KORNBLITH12
from transferkit.probes.sgd import EPOCHS
from transferkit.studies.presets import PRESETS, preset_notes
from transferkit.studies.reading import parse_study, read_study

TOP = 'models = ["pixels"]\ndata = ["mini/digits"]\n'


def parse(text: str, top: str = TOP):
    return parse_study(top + text, where="s.toml")


def test_a_list_in_place_of_one_value_makes_a_product():
    study = parse('[[probe]]\nprotocol = "fewshot"\nshots = [1, 5]\nways = [3, 5]\nqueries = 2\n')
    asked = [(one.settings[0].shots, one.settings[0].ways) for one in study.probe]
    assert sorted(asked) == [(1, 3), (1, 5), (5, 3), (5, 5)]


def test_several_shots_of_one_table_are_asked_of_the_same_classes():
    def min_rows_per_class(text):
        probes = parse(f'[[probe]]\nprotocol = "fewshot"\n{text}').probe
        return [one.settings[0].to_json()["min_rows_per_class"] for one in probes]

    assert min_rows_per_class("shots = [1, 5, 20]") == [35, 35, 35]
    assert min_rows_per_class("shots = [1, 5]\nways = [3, 5]\nqueries = 2") == [7, 7, 7, 7]
    assert min_rows_per_class("shots = 5") == [0]
    assert min_rows_per_class("shots = [1, 5]\nmin_rows_per_class = 0") == [0, 0]
    assert min_rows_per_class("shots = [1, 5]\nmin_rows_per_class = 50") == [50, 50]


def test_a_list_stays_one_where_the_setting_is_a_list():
    (probing,) = parse('[[probe]]\nprotocol = "knn"\nk = [1, 3]\n').probe
    assert probing.settings[0].k == (1, 3)
    (probing,) = parse('[[probe]]\nprotocol = "knn"\nk = 3\n').probe
    assert probing.settings[0].k == (3,)


def test_semantic_levels_are_asked_together_and_all_of_them():
    (probing,) = parse('[[probe]]\nprotocol = "semantic"\n').probe
    assert [one.level for one in probing.settings] == ["low", "mid", "high"]
    (probing,) = parse('[[probe]]\nprotocol = "semantic"\nlevel = "mid"\n').probe
    assert [one.level for one in probing.settings] == ["mid"]


def test_runs_are_named_by_the_study_and_by_what_tells_them_apart():
    study = parse('name = "s"\n[[pretrain]]\nloss = ["ce", "ce + 0.5*selfsupcon"]\nseed = [0, 1]\n')
    names = [run.run for run in study.pretrain]
    assert names == ["s-ce-seed0", "s-ce-seed1", "s-ce+0.5-selfsupcon-seed0", "s-ce+0.5-selfsupcon-seed1"]
    (run,) = parse('[[pretrain]]\nname = "mine"\n').pretrain
    assert run.run == "mine"


def test_runs_are_models_of_the_study_and_patterns_choose_among_them():
    study = parse('[[pretrain]]\nloss = ["ce", "joint"]\n[[probe]]\n[[probe]]\nmodels = ["run:*"]\n')
    first, second = (probing.scope.models for probing in study.probe)
    assert first == ("pixels", "run:s-ce", "run:s-joint")
    assert second == ("run:s-ce", "run:s-joint")


def test_a_table_narrows_what_the_file_says():
    study = parse('seeds = [0, 1]\n[[probe]]\ndata = ["mini"]\nlayers = ["stages"]\nseeds = 7\n[[probe]]\n')
    one, other = (probing.scope for probing in study.probe)
    assert (len(one.data), one.layers, one.seeds) == (12, ("stages",), (7,))
    assert (other.data, other.layers, other.seeds) == (("mini/digits",), ("last",), (0, 1))


def test_the_nearest_pattern_says_what_a_model_is_shown():
    study = parse('[sizes]\n"pix*" = 40\n[[probe]]\n[[probe]]\nmodels = ["random:resnet18"]\n')
    assert (study.size("pixels"), study.size("random:resnet18")) == (40, None)
    exact = parse('[sizes]\n"pix*" = 40\n"pixels" = 50\n[[probe]]\n')
    assert exact.size("pixels") == 50


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = parse('data = ["folder:photos"]\n[[probe]]\n', top='models = ["file:w.pt#resnet18"]\n')
    assert study.scope.data == (f"folder:{tmp_path / 'photos'}",)
    assert study.scope.models == (f"file:{tmp_path / 'w.pt'}#resnet18",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modells = 3\n[[probe]]", r"^s.toml: no key is named 'modells'. Did you mean 'models'\?$"),
        ("zzz = 3\n[[probe]]", r"no key is named 'zzz'. Choose from: name, models, data"),
        ("[[probe]]\nshot = 1", r"^s.toml \[\[probe\]\] 1: no key is named 'shot'. Choose from"),
        (
            '[[probe]]\n[[probe]]\nprotocol = "fewshot"\nshot = 1',
            r"^s.toml \[\[probe\]\] 2: .*Did you mean 'shots'\?$",
        ),
        ('[[probe]]\nprotocol = "liner"', r"\[\[probe\]\] 1: .*Did you mean 'linear'\?"),
        ('[[probe]]\npenalties = "many"', r'penalties = "many" has the wrong type: give a whole number'),
        ("[[probe]]\npenalties = true", r"penalties = true has the wrong type"),
        ("[[probe]]\npenalties = 0", r"s.toml \[\[probe\]\] 1: --penalties 0 is invalid: give 1 or more"),
        ('[[probe]]\nnormalize = "l3"', r"normalize = \"l3\" .*one of none, l2, standardize"),
        ("[[probe]]\nseeds = []", r"seeds is an empty list: give at least one value"),
        ("probe = 3", r"probe = 3 has the wrong type: write tables, \[\[probe\]\]"),
        ("", r"^s.toml: the grid is empty: add \[\[pretrain\]\]"),
        ('name = "a/b"\n[[probe]]', r"name = 'a/b' is not a valid folder name"),
        ('precision = "fp8"\n[[probe]]', r"precision = 'fp8' is unknown. Choose from: auto, fp32, bf16"),
        ("workers_per_entry = 0\n[[probe]]", r"workers_per_entry = 0 is too small"),
        ('[[probe]]\nmodels = ["latest"]', r'"latest" changes with every run'),
        ('[[probe]]\nmodels = ["run:*"]', r"'run:\*' matches none of: pixels"),
        ('[[probe]]\ndata = ["mini/digit"]', r"\[\[probe\]\] 1: .*Did you mean 'mini/digits'\?"),
        (
            '[sizes]\n"pixel" = 4\n[[probe]]',
            r"\[sizes\] 'pixel' is not a model of this study. Did you mean 'pixels'",
        ),
        ('[sizes]\n"zzz" = 4\n[[probe]]', r"\[sizes\] 'zzz' is not a model of this study. Choose from: pixels"),
        ('[sizes]\n"pixels" = 0\n[[probe]]', r"pixels = 0 is too small: give 1 pixel or more"),
        ('[[probe]]\nmodels = ["pixel"]', r"\[\[probe\]\] 1: No model named 'pixel'. Did you mean 'pixels'"),
        (
            '[[probe]]\nmodels = ["resnet50"]',
            r"Did you mean 'torchvision:resnet50@DEFAULT', or 'random:resnet50'",
        ),
        ('[[probe]]\nmodels = ["random:resnet5"]', r"No architecture named 'resnet5'. Did you mean 'resnet"),
        ('[[probe]]\nmodels = ["file:w.pt#resnet5"]', r"No architecture named 'resnet5'. Did you mean"),
        (
            '[[probe]]\nmodels = ["timm:resnt50.a1_in1k"]',
            r"No architecture named 'resnt50.a1_in1k'. Did you mean",
        ),
        ('[[probe]]\nmodels = ["torchvision:resnet500@DEFAULT"]', r"'resnet500'. Did you mean 'resnet50'"),
        ('[[pretrain]]\nmodel = "random:resnet10"', r"\[\[pretrain\]\] 1: .*Did you mean 'resnet1"),
        ('[[pretrain]]\ndata = "mini/object"', r"\[\[pretrain\]\] 1: .*Did you mean 'mini/objects'"),
        ('[[analyze]]\nkind = "ckaa"', r"kind = 'ckaa' is not an analysis. Choose from: cka"),
        ('[[analyze]]\nkind = "cka"\nshots = 1', r"\[\[analyze\]\] 1: no key is named 'shots'"),
        ('[[finetune]]\npreset = "quik"', r"\[\[finetune\]\] 1: .*Did you mean 'quick'\?"),
        ('[[pretrain]]\nloss = "se"', r"\[\[pretrain\]\] 1: "),
        ("[[pretrain]]\ndevices = 0", r"devices = 0 is too small"),
        ('[[pretrain]]\npreset = "imagenet"', r"\[\[pretrain\]\] 1: .*needs your images"),
        ("[[pretrain]]\n[[pretrain]]", r"\[\[pretrain\]\] 2: two runs have the name s-joint"),
        ("[[probe]", r"^s.toml is not valid TOML: "),
    ],
)
def test_a_mistake_is_answered_in_one_line_that_names_file_and_key(text, words):
    with pytest.raises(UsageError, match=words) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_models_that_may_come_or_fail_later_are_let_be():
    models = [
        "run:later",
        "run:later@best",
        "file:nothing.pt#resnet18",
        "timm:hf-hub:a/b",
        "random:resnet18@3",
    ]
    models += ["timm:resnet50.a1_in1k", "torchvision:resnet50@DEFAULT", "imagenet-lite0"]
    (probing,) = parse(f"[[probe]]\nmodels = {models}\n").probe
    assert len(probing.scope.models) == len(models)


def test_a_question_without_models_or_data_is_an_empty_grid():
    with pytest.raises(UsageError, match="the grid is empty: no data are named"):
        parse("[[probe]]", top='models = ["pixels"]\n')
    with pytest.raises(UsageError, match="the grid is empty: no models are named"):
        parse("[[probe]]", top='data = ["mini"]\n')


def test_a_preset_or_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UnknownNameError, match=r"No study named 'mimi'\. Did you mean 'mini'"):
        read_study("mimi")
    with pytest.raises(UsageError, match=r"nothing\.toml is not a file"):
        read_study(str(tmp_path / "nothing.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read as text"):
        read_study(str(tmp_path / "binary.toml"))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_study_that_begins_with_its_command(name):
    study = read_study(name)
    assert study.name == name
    note = next(one for one in preset_notes() if one["study"] == name)
    assert note["command"].startswith(f"transferkit study run {name}")
    assert note["takes"]
    assert note["gives"]


def test_the_preset_mini_is_the_study_in_miniature():
    study = read_study("mini")
    assert {run.settings.loss for run in study.pretrain} == {
        "ce", "selfsupcon", "supcon", "joint", "joint-supcon",
    }  # fmt: skip
    assert {one.protocol for one in study.probe} == {"linear", "knn", "fewshot", "semantic"}
    assert {s.shots for one in study.probe for s in one.settings if one.protocol == "fewshot"} == {1, 5, 20}
    assert all(len(one.scope.data) == 12 for one in (*study.probe, *study.finetune))


def test_the_preset_kornblith12_asks_voc2007_for_what_it_can_answer():
    study = read_study("kornblith12")
    (finetuning,), (analysis,) = study.finetune, study.analyze
    probed = {name for probing in study.probe for name in probing.scope.data}
    assert probed == set(KORNBLITH12)
    single = [name for name in KORNBLITH12 if name != "voc2007"]
    assert list(finetuning.scope.data) == list(analysis.scope.data) == single


def test_the_preset_kornblith12_chooses_a_penalty_by_the_metric_that_is_reported():
    """Ericsson et al.'s code uses the mean per class for aircraft, pets, Caltech-101 and flowers."""
    chosen_by = {
        name: settings.select_by
        for probing in read_study("kornblith12").probe
        for settings in probing.settings
        for name in probing.scope.data
    }
    per_class = {name for name in KORNBLITH12 if PUBLISHED[name].metric == "mean_per_class"}
    assert {name for name, metric in chosen_by.items() if metric == "mean_per_class"} == per_class
    assert per_class == {"aircraft", "pets", "caltech101", "flowers102"}


def test_the_preset_paper_trains_linear_probes_on_new_crops_in_each_epoch():
    (linear,) = [probing for probing in read_study("paper").probe if probing.protocol == "linear"]
    assert [(s.solver, s.views, s.select_by) for s in linear.settings] == [("sgd", EPOCHS, "top1")]
