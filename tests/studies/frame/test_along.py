import numpy as np
import torch
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.estimators.baselines import UnconditionalDensity
from manymodes.studies.frame.along import Fork, Scene, longest_fork
from manymodes.studies.frame.kept import as_mixture

X = np.arange(8.0)


def forked(weight):
    """A mixture along X of a mode at 1, and one at 3 with the given weights."""
    second = torch.tensor(weight).double()
    loc = torch.tensor([1.0, 3.0]).double()[:, None].expand(len(weight), 2, 1)
    return Mixture(Categorical(torch.stack([1 - second, second], -1)), DiagonalNormal(loc, 0 * loc + 0.1))


def test_the_longest_stretch_with_two_modes_is_told():
    fork = longest_fork(forked([0.2, 0.2, 0.0, 0.0, 0.3, 0.4, 0.5, 0.0]), X)
    assert (fork.start, fork.stop, fork.middle) == (4.0, 6.0, 5.0)
    assert fork.told("mm") == "1.0 mm (60%) and 3.0 mm (40%)"


def test_a_single_place_is_no_stretch():
    assert longest_fork(forked([0.0, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0, 0.0]), X) is None
    assert longest_fork(forked([0.0] * 8), X) is None


def test_a_fork_that_reaches_both_ends_is_told_whole():
    fork = longest_fork(forked([0.4] * 8), X)
    assert (fork.start, fork.stop) == (0.0, 7.0)


def test_three_modes_are_listed():
    fork = Fork(0.0, 2.0, 1.0, [(1.0, 0.5), (2.0, 0.3), (3.0, 0.2)])
    assert fork.told("h", 0) == "1 h (50%), 2 h (30%) and 3 h (20%)"


def test_predictions_along_the_input_are_kept_as_they_are():
    rng = np.random.default_rng(0)
    model = UnconditionalDensity(random_state=0).fit(rng.normal(size=(50, 1)), rng.normal(size=50))
    record = Scene(X, (X, X), "x", "y").kept(model)
    y = torch.zeros(len(X), 1).double()
    expected = model.predict_distribution(X[:, None]).log_prob(y)
    torch.testing.assert_close(as_mixture(record).log_prob(y), expected, atol=1e-5, rtol=1e-5)
    assert not any(name.startswith("member") for name in record)
