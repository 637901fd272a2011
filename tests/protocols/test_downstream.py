"""Every set of the study goes from its archive's layout to a record."""

import pytest

from tests.datasets.trees import TREES
from transferkit.core.workspace import Workspace
from transferkit.datasets import PAPER12
from transferkit.protocols.context import RunContext
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.settings import ExtractSettings


@pytest.mark.parametrize("name", PAPER12)
def test_from_tree_to_record(name, tmp_path):
    TREES[name](tmp_path / "data" / name)
    context = RunContext(Workspace.at(tmp_path))
    (record,) = Evaluator(context, ExtractSettings()).run(["pixels"], [name], [eval_request("knn")])
    assert (record.data, record.evaluated_on) == (name, "test")
    n = len(context.open(name).split("test"))
    assert record.n == n
    assert record.value > 1.5 / len(context.open(name).classes), "the trees' colours tell their classes"


def test_a_budget_shares_the_test_features(tmp_path):
    TREES["eurosat"](tmp_path / "data" / "eurosat")
    context = RunContext(Workspace.at(tmp_path))
    ask = [eval_request("knn")]
    whole, few = Evaluator(context, ExtractSettings()).run(["pixels"], ["eurosat", "eurosat@shots=3"], ask)
    assert (whole.data, few.data) == ("eurosat", "eurosat@shots=3")
    assert whole.n == few.n
    assert len(list(context.workspace.features.iterdir())) == 3, "two of train, one of test"


def test_linear_chooses_on_a_fifth_of_train_where_there_is_no_val(tmp_path):
    TREES["eurosat"](tmp_path / "data" / "eurosat")
    context = RunContext(Workspace.at(tmp_path))
    (record,) = Evaluator(context, ExtractSettings()).run(["pixels"], ["eurosat"], [eval_request("linear")])
    assert record.selected_on == "20% of train"
