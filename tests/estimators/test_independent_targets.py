import numpy as np
import pytest
import torch

from manymodes._checks import InputError
from manymodes.estimators.baselines import IndependentTargets, NearestNeighbours, QuantileBoosting

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2))
Y = np.column_stack([X[:, 0] + 0.1 * RNG.normal(size=80), 10 * RNG.choice([-1.0, 1.0], 80)])


def fitted(**changes) -> IndependentTargets:
    settings = {"n_levels": 5, "max_trees": 10, "random_state": 0, **changes}
    return IndependentTargets(QuantileBoosting(**settings)).fit(X, Y)


def test_the_joint_density_is_the_product_of_those_of_single_targets():
    model, y = fitted(), torch.as_tensor(Y[:9])
    joint = model.predict_distribution(X[:9])
    single = [each.predict_distribution(X[:9]).log_prob(y[:, [d]]) for d, each in enumerate(model.baselines_)]
    torch.testing.assert_close(joint.log_prob(y), sum(single))
    assert joint.event_shape == (2,)


def test_each_target_keeps_its_own_density():
    model, y = fitted(), torch.as_tensor(Y[:9])
    own = model.baselines_[1].predict_distribution(X[:9])
    torch.testing.assert_close(model.predict_distribution(X[:9]).marginal(1).cdf(y[:, [1]]), own.cdf(y[:, [1]]))


def test_too_many_combinations_are_refused():
    model = IndependentTargets(NearestNeighbours(random_state=0)).fit(X, np.column_stack([Y, Y, Y]))
    rule = "baseline must predict so few components that they make at most 4096 combinations over 6 targets"
    with pytest.raises(InputError, match=rf"^{rule}; got \d+\.$"):
        model.predict_distribution(X[:2])


def test_what_is_no_baseline_is_refused():
    with pytest.raises(TypeError, match=r"^baseline must be a Baseline or None; got int\.$"):
        IndependentTargets(3).fit(X, Y)
