"""The probes as scikit-learn sees them, on its handwritten digits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

import transferkit
from transferkit.core.errors import ShapeError, UsageError
from transferkit.probes.estimators import KNNProbe, LinearProbe, PrototypeProbe, RidgeProbe

DIGITS, TARGETS = load_digits(return_X_y=True)
X, Y, X_TEST, Y_TEST = DIGITS[:400] / 16, TARGETS[:400], DIGITS[400:900] / 16, TARGETS[400:900]
NAMES = np.array([f"digit {d}" for d in range(10)])
ALL = [LinearProbe(), RidgeProbe(), KNNProbe(), PrototypeProbe()]
NAMED = pytest.mark.parametrize("probe", ALL, ids=lambda probe: type(probe).__name__)


@parametrize_with_checks([*ALL, LinearProbe([0.1, 1.0]), RidgeProbe([0.1, 1.0]), KNNProbe(metric="euclidean")])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_linear_is_logistic_regression(classes, penalty):
    rows, asked = np.isin(Y, range(classes)), np.isin(Y_TEST, range(classes))
    theirs = LogisticRegression(C=1 / penalty, max_iter=5000, tol=1e-8).fit(X[rows], Y[rows])
    ours = LinearProbe(penalty).fit(X[rows], Y[rows])
    assert ours.coef_.shape == theirs.coef_.shape
    assert ours.intercept_.shape == theirs.intercept_.shape
    assert_allclose(ours.predict_proba(X_TEST[asked]), theirs.predict_proba(X_TEST[asked]), atol=5e-3)
    found, expected = (model.decision_function(X_TEST[asked]) for model in (ours, theirs))
    assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_ridge_is_ridge_classifier(classes):
    rows = np.isin(Y, range(classes))
    theirs = RidgeClassifier(alpha=0.5).fit(X[rows], Y[rows])
    ours = RidgeProbe(0.5).fit(X[rows], Y[rows])
    assert_allclose(ours.decision_function(X_TEST), theirs.decision_function(X_TEST), atol=1e-9)
    assert_allclose(ours.coef_.ravel(), theirs.coef_.ravel(), atol=1e-9)
    assert (ours.predict(X_TEST) == theirs.predict(X_TEST)).all()


@pytest.mark.parametrize(
    ("probe", "options"),
    [
        (KNNProbe(20), {"metric": "cosine", "weights": lambda d: np.exp((1 - d) / 0.07)}),
        (KNNProbe(7, temperature=0.5), {"metric": "cosine", "weights": lambda d: np.exp((1 - d) / 0.5)}),
        (KNNProbe(20, metric="euclidean"), {"weights": lambda d: 1 / (d + 1e-5)}),
    ],
)
def test_knn_is_scikit_learns_with_the_same_weights(probe, options):
    x = X + 0.01 * np.random.default_rng(0).normal(size=X.shape)  # without equal distances
    theirs = KNeighborsClassifier(probe.k, algorithm="brute", **options).fit(x, Y)
    assert_allclose(probe.fit(x, Y).predict_proba(X_TEST), theirs.predict_proba(X_TEST), atol=1e-4)


def test_more_neighbours_than_rows_are_all_rows():
    few, all_of_them = (KNNProbe(k).fit(X[:30], Y[:30]).predict_proba(X_TEST) for k in (500, 30))
    assert_allclose(few, all_of_them, atol=0)


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_:UserWarning")  # columns of zeros
def test_prototypes_are_the_nearest_centroids():
    for ours, rows, asked in (
        (PrototypeProbe(), normalize(X), normalize(X_TEST)),
        (PrototypeProbe(normalize=False), X, X_TEST),
    ):
        theirs = NearestCentroid().fit(rows, Y)
        assert (ours.fit(X, Y).predict(X_TEST) == theirs.predict(asked)).all()
        assert_allclose(ours.prototypes_, theirs.centroids_)
        distances = ((asked[:, None] - theirs.centroids_) ** 2).sum(2)
        expected = np.exp(-distances) / np.exp(-distances).sum(1, keepdims=True)
        assert_allclose(ours.predict_proba(X_TEST), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", [LinearProbe, RidgeProbe])
def test_the_penalty_is_chosen_on_held_out_rows_and_refitted_on_all(kind):
    penalties = np.geomspace(1e-4, 1e5, 10)
    found = kind(penalties, random_state=3).fit(X, Y)
    assert found.penalty_ in penalties
    assert found.score(X_TEST, Y_TEST) >= kind(1e5).fit(X, Y).score(X_TEST, Y_TEST)
    alone = kind(found.penalty_).fit(X, Y)
    assert_allclose(found.coef_, alone.coef_, atol=1e-9)
    turned = kind(penalties[::-1].tolist(), random_state=3).fit(X, Y)
    assert turned.penalty_ == found.penalty_


def test_of_equals_the_strongest_penalty_is_chosen():
    x = np.repeat(np.eye(2), 10, axis=0)
    assert RidgeProbe([0.1, 1.0, 0.5]).fit(x, np.repeat([0, 1], 10)).penalty_ == 1.0


@NAMED
def test_classes_may_be_words_and_scores_stay(probe):
    numbers = clone(probe).fit(X, Y)
    words = clone(probe).fit(X, NAMES[Y])
    assert (words.classes_ == NAMES).all()
    assert (words.predict(X_TEST) == NAMES[numbers.predict(X_TEST)]).all()
    assert words.score(X_TEST, NAMES[Y_TEST]) > 0.75


@NAMED
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_precision_hardly_matters(probe, dtype):
    accuracy = clone(probe).fit(X.astype(dtype), Y).score(X_TEST.astype(dtype), Y_TEST)
    assert accuracy == pytest.approx(clone(probe).fit(X, Y).score(X_TEST, Y_TEST), abs=0.003)


@NAMED
def test_float16_near_its_limit_does_not_overflow(probe):
    large = (X * 60000).astype(np.float16)
    found = clone(probe)
    if isinstance(found, LinearProbe):
        found.set_params(penalty=1e9)
    assert found.fit(large, Y).score((X_TEST * 60000).astype(np.float16), Y_TEST) > 0.75


@pytest.mark.parametrize("probe", [LinearProbe(), RidgeProbe()])
def test_a_shift_of_all_rows_changes_nothing(probe):
    """The shift is so large that float32 could not represent the differences between rows."""
    here, there = clone(probe).fit(X, Y), clone(probe).fit(X + 1e7, Y)
    assert_allclose(there.decision_function(X_TEST + 1e7), here.decision_function(X_TEST), atol=0.01)


@pytest.mark.parametrize("probe", [KNNProbe(metric="euclidean"), PrototypeProbe(normalize=False)])
def test_a_shift_of_all_rows_changes_no_distance(probe):
    here, there = clone(probe).fit(X, Y), clone(probe).fit(X + 1e7, Y)
    assert_allclose(there.predict_proba(X_TEST + 1e7), here.predict_proba(X_TEST), atol=1e-5)


@NAMED
def test_the_order_of_rows_is_nothing(probe):
    order = np.random.default_rng(0).permutation(len(X))
    here, there = clone(probe).fit(X, Y), clone(probe).fit(X[order], Y[order])
    assert (there.predict(X_TEST) == here.predict(X_TEST)).mean() > 0.995


@NAMED
def test_in_a_pipeline_and_in_cross_validation(probe):
    scores = cross_val_score(make_pipeline(StandardScaler(), probe), X, NAMES[Y], cv=3)
    assert scores.min() > 0.8


@pytest.mark.parametrize(
    ("probe", "grid"),
    [
        (LinearProbe(), {"penalty": [1.0, 1e5]}),
        (RidgeProbe(), {"penalty": [1.0, 1e6]}),
        (KNNProbe(), {"k": [5, 300], "temperature": [0.07, 10.0]}),
        (PrototypeProbe(), {"normalize": [False, True]}),
    ],
)
def test_in_a_grid_search(probe, grid):
    search = GridSearchCV(probe, grid, cv=2).fit(X, Y)
    assert search.best_params_ == {name: values[0] for name, values in grid.items()}


@NAMED
def test_one_class_alone_is_always_the_answer(probe):
    found = clone(probe).fit(X[:5], np.full(5, "only"))
    assert (found.predict(X_TEST) == "only").all()


def test_rows_of_zeros_have_no_direction():
    x = np.vstack([np.zeros((2, 64)), X])
    for probe in (KNNProbe(), PrototypeProbe()):
        assert np.isfinite(probe.fit(x, np.append([0, 0], Y)).predict_proba(x[:3])).all()


def test_a_fit_that_did_not_converge_says_so(monkeypatch):
    from transferkit.probes import estimators
    from transferkit.probes.solvers.lbfgs import StoppingRule

    def hasty(*arguments):
        return original(*arguments, stopping=StoppingRule(tolerance=1e-9, gradient_tolerance=1e-9, max_iterations=2))

    original = estimators.logistic_path
    monkeypatch.setattr(estimators, "logistic_path", hasty)
    with pytest.warns(ConvergenceWarning, match="1 of 1 penalties had not converged after 2 iterations"):
        LinearProbe(1e-6).fit(X, Y)


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (LinearProbe(-1.0), "Penalties \\[-1.0\\] are invalid"),
        (RidgeProbe([1.0, 0.0]), "Penalties \\[1.0, 0.0\\] are invalid"),
        (LinearProbe([1.0, 2.0], validation=1.0), "validation=1 is invalid"),
        (LinearProbe([]), "penalty is empty"),
        (RidgeProbe([]), "penalty is empty"),
        (KNNProbe(0), "k=0 is invalid"),
        (KNNProbe(temperature=0.0), "temperature=0 must be above 0"),
        (KNNProbe(metric="manhattan"), "metric='manhattan' is unknown. Choose from: cosine, euclidean"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused_on_fitting(probe, words):
    with pytest.raises(UsageError, match=words):
        probe.fit(X, Y)


def test_one_row_a_class_leaves_nothing_to_choose_on():
    with pytest.raises(ShapeError, match=r"Of 3 rows, none is left to select a penalty: .* only one sample"):
        LinearProbe([0.1, 1.0]).fit(np.eye(3), [0, 1, 2])


def test_the_front_door_offers_them():
    for kind in (LinearProbe, RidgeProbe, KNNProbe, PrototypeProbe):
        assert getattr(transferkit, kind.__name__) is kind


@pytest.mark.parametrize("kind", [LinearProbe, RidgeProbe])
def test_a_penalty_is_chosen_on_rows_of_other_groups(kind):
    """Each object has six nearly equal rows and a random label, so only copies can be recognised."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=60).repeat(6)
    x = rng.normal(size=(60, 80)).repeat(6, 0) + 0.01 * rng.normal(size=(360, 80))
    objects = np.arange(60).repeat(6)
    penalties, seen = [1e-3, 1e4], []

    class Spied(kind):
        def _path(self, x, labels, penalties):
            seen.append(len(x))
            return super()._path(x, labels, penalties)

    fitted = Spied(penalties, random_state=0).fit(x, labels, groups=objects)
    assert seen[0] % 6 == 0, "whole groups are fitted"
    alone = Spied(penalties, random_state=0).fit(x, labels)
    assert alone.penalty_ == 1e-3, "copies reward remembering"
    assert fitted.penalty_ in penalties
    with pytest.raises(ShapeError, match="360 labels need as many groups, not 2"):
        kind(penalties).fit(x, labels, groups=["a", "b"])
    with pytest.raises(ShapeError, match="every class has only one group"):
        kind(penalties).fit(x, labels, groups=labels)
