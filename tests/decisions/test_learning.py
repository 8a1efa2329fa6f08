"""Rows to measure next: by the disagreement that is left, different from one another, and better than random ones."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes import MDNRegressor, metrics
from manymodes._checks import InputError
from manymodes.decisions import acquire
from manymodes.decisions.learning import _Open
from manymodes.distributions import DiagonalNormal, Mixture, StudentT, UncertaintySplit, VonMises, split_uncertainty


class Ensemble:
    """What predicts as it was told, whatever the features are."""

    def __init__(self, members: Any) -> None:
        self.members = members

    def predict_members(self, X: Any) -> Any:
        return self.members


def normals(means: Any, scale: Any = 0.1) -> Mixture:
    """Members of one normal each, (M, N) or (M, N, D)."""
    at = torch.as_tensor(np.asarray(means), dtype=torch.float64)
    at = (at.unsqueeze(-1) if at.dim() == 2 else at).unsqueeze(-2)  # (M, N, K, D)
    scales = torch.as_tensor(np.asarray(scale), dtype=torch.float64).reshape(-1, 1, 1).expand(at.shape)
    return Mixture(Categorical(torch.ones(at.shape[:3]).double()), DiagonalNormal(at, scales))


def chosen(members: Any, n: int, strategy: str = "epistemic", **options: Any) -> list[int]:
    first = members[0] if isinstance(members, list) else members
    n_rows = first.batch_shape[-1]
    return acquire(Ensemble(members), np.zeros((n_rows, 1)), n, strategy, **options).tolist()


# --- what is worth measuring ---


def test_the_first_row_is_the_one_with_the_most_epistemic_variance():
    rng = np.random.default_rng(0)
    members = normals(rng.normal(size=(5, 40)) * rng.uniform(0.1, 2, 40))
    split = split_uncertainty(members, modes=False, generator=torch.Generator().manual_seed(0))
    assert chosen(members, 1) == [int(split.epistemic_variance.argmax())]
    assert chosen(members, 1, "bald", random_state=3) == [
        int(
            split_uncertainty(
                members, modes=False, generator=torch.Generator().manual_seed(3)
            ).mutual_information.argmax()
        )
    ]
    assert chosen(members, 1, "entropy") == [int(split.entropy.argmax())]


@pytest.mark.parametrize("strategy", ["epistemic", "bald"])
def test_noise_attracts_nobody_but_the_entropy(strategy):
    means = [[0.0, 1.0, 0.0], [0.0, -1.0, 0.1]]
    members = normals(means, scale=[20.0, 0.1, 0.1])
    assert chosen(members, 1, strategy) == [1]
    assert chosen(members, 1, "entropy") == [0]


@pytest.mark.parametrize("strategy", ["epistemic", "bald", "entropy"])
def test_two_rows_about_which_members_disagree_alike_are_not_both_chosen(strategy):
    # Rows 0 to 2 depend on one question, row 3 on another, about which there is a little less to learn.
    one, other = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    means = np.stack([one, 0.99 * one, -0.98 * one, 0.8 * other], -1)
    assert chosen(normals(means), 2, strategy) == [0, 3]


def test_noisy_rows_may_be_measured_twice():
    # One noisy measurement leaves most of the question open.
    one, other = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    means = np.stack([one, 0.99 * one, 0.5 * other], -1)
    assert chosen(normals(means, scale=3.0), 2) == [0, 1]


def test_what_is_left_is_the_covariance_of_gaussian_conditioning():
    rng = np.random.default_rng(0)
    start = _Open(*(torch.tensor(rng.uniform(0.1, 2, shape)) for shape in ((6, 9, 2), (9, 2), (9, 2))))
    after = start.measured(3)
    for d in range(2):
        shared = start.shared[..., d].T @ start.shared[..., d]
        expected = shared - shared[:, [3]] @ shared[[3]] / (shared[3, 3] + start.own[3, d] + start.noise[3, d])
        torch.testing.assert_close(after.shared[..., d].T @ after.shared[..., d], expected)


def test_a_measurement_without_noise_leaves_nothing_of_what_is_shared():
    start = _Open(torch.ones(2, 3, 1).double(), torch.zeros(3, 1).double(), torch.zeros(3, 1).double())
    torch.testing.assert_close(start.measured(0).shared, torch.zeros(2, 3, 1).double())


def test_batches_larger_than_the_ensemble_still_go_by_the_disagreement():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, 200)) * np.where(np.arange(200) < 40, 1.0, 0.01)
    assert set(chosen(normals(means, scale=1e-6), 40)) == set(range(40))


@pytest.mark.parametrize("strategy", ["epistemic", "bald", "entropy"])
def test_units_of_targets_do_not_matter(strategy):
    rng = np.random.default_rng(1)
    means = rng.normal(size=(4, 30, 2))
    scale = np.exp(rng.normal(size=(1, 30, 1))) * np.ones((4, 1, 1))
    plain = normals(means)
    plain = plain.with_components(
        DiagonalNormal(plain.components.loc, 0.1 * torch.tensor(scale)[..., None, :].expand(4, 30, 1, 2))
    )
    other = plain.affine(torch.tensor([5.0, -1e3]).double(), torch.tensor([1e-6, 1e6]).double())
    assert chosen(plain, 10, strategy) == chosen(other, 10, strategy)


def test_angles_disagree_the_shorter_way_round():
    loc = torch.tensor([[math.pi - 0.1, 0.5], [0.1 - math.pi, -0.5]], dtype=torch.float64)[..., None, None]
    members = Mixture(Categorical(torch.ones(2, 2, 1).double()), VonMises(loc, torch.full_like(loc, 50.0)))
    assert chosen(members, 1) == [1]


def test_noise_without_a_variance_tells_nothing_and_breaks_nothing():
    loc = torch.tensor([[0.0, 1.0, 0.2], [0.0, -1.0, 0.1]], dtype=torch.float64)[..., None, None]
    wild = StudentT(torch.full_like(loc, 1.5), loc, torch.ones_like(loc))
    members = Mixture(Categorical(torch.ones(2, 3, 1).double()), wild)
    for strategy in ("epistemic", "bald", "entropy"):
        assert chosen(members, 3, strategy)[0] == 1


def test_members_that_agree_name_each_row_once():
    rows = chosen(normals(np.zeros((3, 5))), 5)
    assert sorted(rows) == [0, 1, 2, 3, 4]


def test_random_rows_are_drawn_without_the_model():
    class Unasked:
        def predict_members(self, X: Any) -> Any:
            raise AssertionError

    X = pd.DataFrame({"a": range(100)})
    rows = acquire(Unasked(), X, 30, "random", random_state=0)
    assert len(set(rows.tolist())) == 30
    assert rows.tolist() == acquire(Unasked(), X, 30, "random", random_state=0).tolist()
    assert rows.tolist() != acquire(Unasked(), X, 30, "random", random_state=1).tolist()
    assert len(acquire(Unasked(), {"a": range(100), "b": range(100)}, 100, "random")) == 100


@pytest.mark.parametrize("strategy", ["epistemic", "bald", "entropy"])
def test_members_may_come_batch_by_batch(strategy):
    class Streamed(Ensemble):
        def iter_members(self, X: Any) -> Any:
            for first in range(0, 20, 7):
                yield self.members[:, first : first + 7]

    members = normals(np.random.default_rng(0).normal(size=(4, 20)) * np.arange(1, 21) / 5)
    rows = acquire(Streamed(members), np.zeros((20, 1)), 3, strategy)
    if strategy == "epistemic":
        assert rows.tolist() == chosen(members, 3)
    else:  # samples are drawn in another order
        split = split_uncertainty(members, n_samples=1000, modes=False)
        worth = split.mutual_information if strategy == "bald" else split.entropy
        assert int(rows[0]) in worth.topk(4).indices.tolist()


def test_members_may_be_a_list():
    members = normals(np.random.default_rng(0).normal(size=(4, 20)))
    assert chosen(members, 5) == chosen([members[m] for m in range(4)], 5)


# --- with a model ---


def rare(rng: np.random.Generator, n: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of which only a share lies where something happens."""
    x = np.where(rng.random(n) < share, 1.0, -1.0) * rng.random(n)
    return x[:, None], np.where(x > 0, np.sin(8 * x), 0.0) + 0.05 * rng.standard_normal(n)


def test_chosen_rows_teach_a_model_more_than_random_ones():
    rng = np.random.default_rng(0)
    (X, y), (X_test, y_test) = rare(rng, 500, 0.06), rare(rng, 500, 0.5)
    scores = {}
    for strategy in ("epistemic", "random"):
        known, scores[strategy] = np.arange(25), []
        for number in range(3):
            model = MDNRegressor(2, preset="fast", hidden_sizes=(32,), max_epochs=60, lr=1e-2, random_state=0)
            model.fit(X[known], y[known])
            score = metrics.crps(model.predict_distribution(X_test), torch.tensor(y_test)[:, None])
            scores[strategy].append(float(score.mean()))
            left = np.setdiff1d(np.arange(len(X)), known)
            known = np.concatenate([known, left[acquire(model, X[left], 10, strategy, random_state=number)]])
    assert scores["epistemic"][0] == scores["random"][0]
    assert np.mean(scores["epistemic"][1:]) < 0.9 * np.mean(scores["random"][1:])


def test_epistemic_uncertainty_grows_outside_the_training_range():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 1))
    y = np.where(rng.random(300) < 0.5, 1, -1) * (1 + np.sin(2 * X[:, 0])) + 0.1 * rng.standard_normal(300)
    model = MDNRegressor(3, preset="fast", n_members=6, random_state=0).fit(X, y)

    def split(low: float, high: float) -> UncertaintySplit:
        return split_uncertainty(model.predict_members(np.linspace(low, high, 20)[:, None]))

    inside, beside, far = split(-0.9, 0.9), split(1.3, 1.8), split(3, 4)
    for figure in ("epistemic_variance", "mutual_information", "mode_disagreement"):
        near, out, away = (float(getattr(part, figure).mean()) for part in (inside, beside, far))
        assert 2 * near < out
        assert 2 * near < away
    assert float(inside.epistemic_share.mean()) < 0.1  # two answers are noise, not ignorance


# --- bad input ---


def test_what_cannot_be_chosen_is_refused():
    members = normals(np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"^n must be at most 3, the number of rows of X_pool; got 4\.$"):
        chosen(members, 4)
    with pytest.raises(InputError, match=r"^n must be at most 3, the number of rows of X_pool; got 4\.$"):
        chosen(members, 4, "random")
    with pytest.raises(InputError, match=r"^n must be an integer >= 1; got 0\.$"):
        chosen(members, 0)
    with pytest.raises(
        InputError, match=r"^strategy must be one of 'bald', 'entropy', 'epistemic', 'random'; got 'badge'\.$"
    ):
        chosen(members, 1, "badge")
    with pytest.raises(
        InputError,
        match=r"^model must have at least 2 members for strategy='bald'; got 1\. Set n_members, or take "
        r"strategy='entropy' or 'random'\.$",
    ):
        chosen(members[:1], 1, "bald")
    assert len(chosen(members[:1], 1, "entropy")) == 1
    with pytest.raises(
        TypeError, match=r"^model must have a method predict_members, as MDNRegressor has; got Tensor\.$"
    ):
        acquire(Tensor(), np.zeros((3, 1)), 1)
    with pytest.raises(InputError, match=r"^random_state must be an integer from 0 to 4294967295; got -1\.$"):
        chosen(members, 1, random_state=-1)
