import numpy as np
import pytest

from manymodes._checks import InputError
from manymodes.estimators import cluster_paths


def parting(n_paths, seed=0):
    rng = np.random.default_rng(seed)
    side = rng.choice([-1.0, 1.0], n_paths, p=[0.3, 0.7])
    return side, side[:, None] * np.linspace(0, 4, 20) + 0.3 * rng.normal(size=(n_paths, 20)).cumsum(1)


def test_two_futures_are_found_with_their_probabilities():
    side, paths = parting(500)
    found = cluster_paths(paths)
    np.testing.assert_allclose(found.probability, [(side > 0).mean(), (side < 0).mean()], atol=0.01)
    assert found.paths.shape == (2, 20, 1)
    assert found.paths[0, -1, 0] > 2
    assert found.paths[1, -1, 0] < -2


def test_a_representative_is_one_of_its_own_paths():
    _, paths = parting(200)
    found = cluster_paths(paths)
    for number, path in enumerate(found.paths[..., 0]):
        assert (paths[found.members == number] == path).all(1).any()


@pytest.mark.parametrize("seed", range(3))
def test_a_wandering_series_has_one_scenario(seed):
    paths = np.random.default_rng(seed).normal(size=(300, 20)).cumsum(1)
    assert len(cluster_paths(paths)) == 1


def test_the_units_of_targets_do_not_matter():
    _, paths = parting(200)
    several = np.stack([paths, np.random.default_rng(1).normal(size=paths.shape)], -1)
    other = several * [1e-3, 1e3]
    assert (cluster_paths(several, 2).members == cluster_paths(other, 2).members).all()


def test_as_many_scenarios_as_asked_for_come_the_most_probable_first():
    _, paths = parting(200)
    found = cluster_paths(paths, 3)
    assert len(found) == 3
    assert (np.diff(found.probability) <= 0).all()
    assert repr(found).startswith("Scenarios(3 of 200 paths, probabilities 0.")


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (
            np.zeros(5),
            "paths must have shape (S, H) or (S, H, D), those of one series; got (5,).",
        ),
        (np.full((5, 2), np.nan), "paths must be finite; got missing or infinite values."),
    ],
)
def test_what_are_no_paths_is_refused(paths, sentence):
    with pytest.raises(InputError) as error:
        cluster_paths(paths)
    assert str(error.value) == sentence


def test_more_scenarios_than_paths_are_refused():
    with pytest.raises(InputError, match=r"^n_scenarios must be an integer from 1 to 5; got 6\.$"):
        cluster_paths(np.zeros((5, 2)), 6)
