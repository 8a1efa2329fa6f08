"""What a model keeps of its training rows: far is far, near is near, and rows of the fit are known again."""

import warnings

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes.estimators.familiarity import Familiarity
from tests.estimators.small import small


def learned(X, categories=(), seed=0):
    return Familiarity.learn(torch.from_numpy(X), torch.from_numpy(X[:, :1]), categories, seed)


def test_a_gap_between_training_rows_is_far():
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, size=(2000, 1))
    known = learned(x[np.abs(x[:, 0]) > 1])
    far = known.is_far(torch.linspace(-0.8, 0.8, 33)[:, None])
    near = known.is_far(torch.tensor([[-2.0], [-1.2], [1.2], [2.5]]))
    assert bool(far.all())
    assert not bool(near.any())


@pytest.mark.parametrize("n_features", [1, 3, 10])
def test_one_row_in_fifty_of_the_same_kind_is_far_at_most(n_features):
    rng = np.random.default_rng(1)
    known = learned(rng.normal(size=(3000, n_features)))
    share = known.is_far(torch.from_numpy(rng.normal(size=(5000, n_features)))).double().mean()
    assert 0.0 < share < 0.02 + 0.001 * n_features


@pytest.mark.parametrize("column", range(3))
def test_a_held_out_range_of_any_feature_is_far(column):
    rng = np.random.default_rng(2)
    X = rng.uniform(size=(2000, 3)) * [1.0, 1e6, 1e-6]
    border = np.quantile(X[:, column], 0.8)
    known = learned(X[X[:, column] < border])
    assert known.is_far(torch.from_numpy(X[X[:, column] > 1.02 * border])).double().mean() > 0.95


def test_a_hole_in_two_dimensions_is_far():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(4000, 2))
    known = learned(X[np.linalg.norm(X, axis=1) > 1.2])
    assert known.is_far(torch.zeros(1, 2)).item()


def test_an_unseen_pair_of_categories_and_a_gap_in_a_number_are_no_errors():
    rng = np.random.default_rng(4)
    X = np.column_stack([rng.normal(size=500), rng.integers(0, 3, size=500)]).astype(float)
    known = learned(X, categories=[(1, 3)])
    assert known.is_far(torch.tensor([[0.0, 1.0], [torch.nan, 2.0], [50.0, 1.0]])).tolist() == [False, False, True]


def test_training_rows_are_known_again_and_others_are_not():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(3000, 2))
    known = learned(X)
    own, other = torch.from_numpy(X[:1000]), torch.from_numpy(rng.normal(size=(1000, 2)))
    half = torch.cat([own[:500], other[:500]])
    assert known.share_of_training_rows(own, own[:, :1]) == 1.0
    assert known.share_of_training_rows(other, other[:, :1]) == 0.0
    assert known.share_of_training_rows(half, half[:, :1]) == pytest.approx(0.5, abs=0.25)
    assert known.share_of_training_rows(own, own[:, :1] + 1) == 0.0  # the same features with other targets


def test_the_same_seed_gives_the_same_summary():
    X = np.random.default_rng(6).normal(size=(300, 2))
    first, second = learned(X).to_tensors(), learned(X).to_tensors()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_model_keeps_it_through_its_file(tmp_path):
    X = np.random.default_rng(7).normal(size=(200, 2))
    model = small(random_state=0).fit(X, X[:, 0] + X[:, 1])
    model.save(tmp_path / "model.mm")
    again = mm.load(tmp_path / "model.mm")
    for name, value in model.familiarity_.to_tensors().items():
        assert torch.equal(value, again.familiarity_.to_tensors()[name])


def test_a_warm_start_knows_the_rows_of_both_fits():
    rng = np.random.default_rng(8)
    first, second = rng.uniform(0, 1, size=(200, 1)), rng.uniform(4, 5, size=(200, 1))
    model = small(random_state=0, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(first, np.sin(first[:, 0])).fit(second, np.sin(second[:, 0]))
    far = model.familiarity_.is_far(torch.tensor([[0.5], [2.5], [4.5]]))
    assert far.tolist() == [False, True, False]
    x = torch.from_numpy(np.concatenate([first, second]))
    assert model.familiarity_.share_of_training_rows(x, torch.sin(x)) == 1.0


@pytest.mark.parametrize(("n_rows", "n_features"), [(200, 20), (200, 50), (1000, 20)])
def test_ordinary_rows_of_wide_tables_are_seldom_far(n_rows, n_features):
    rng = np.random.default_rng(9)
    known = learned(rng.normal(size=(n_rows, n_features)))
    share = known.is_far(torch.from_numpy(rng.normal(size=(4000, n_features)))).double().mean()
    assert share < 0.06


def test_where_nothing_tells_whether_rows_are_known_that_is_said():
    rng = np.random.default_rng(10)
    known = learned(rng.normal(size=(200_000, 1)))
    few = torch.from_numpy(rng.normal(size=(3, 1)))
    assert np.isnan(known.share_of_training_rows(few, few))
