import numpy as np
import pytest
import torch

from manymodes._checks import InputError
from manymodes.distributions import Mixture
from manymodes.estimators import MDNRegressor, component_curves, partial_dependence
from manymodes.estimators.targets.facts import inspect_target
from manymodes.estimators.targets.families import FAMILIES, blueprint_of, checked_family
from manymodes.estimators.targets.suggestions import suggestion
from manymodes.nn import MixtureDensityNetwork, MixtureHead

from .. import small

SMALL = {**small.SMALL, "max_epochs": 40}
N = 200


def rows(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=N)
    return rng, x


def targets_of(name, rng, x):
    """Return targets that a family is made for, which depend on x."""
    if name in ("poisson", "negative_binomial"):
        return rng.poisson(np.exp(1 + x)).astype(float)
    if name == "von_mises":
        return rng.vonmises(2 * x, 8.0)
    if name == "beta" or name.startswith("logit_"):
        return 1 / (1 + np.exp(-(2 * x + 0.3 * rng.normal(size=N))))
    if name == "gamma" or name.startswith("log_"):
        return np.exp(x + 0.3 * rng.normal(size=N))
    return 2 * x + 0.3 * rng.normal(size=N)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_fitted_by_name_beats_none_and_survives_a_file(name, tmp_path):
    import manymodes as mm

    rng, x = rows()
    X, y = x[:, None], targets_of(name, rng, x)
    model = MDNRegressor(family=name, **SMALL).fit(X, y)
    flat = MDNRegressor(family=name, **SMALL).fit(np.zeros_like(X), y)
    assert model.log_prob(X, y).mean() > flat.log_prob(np.zeros_like(X), y).mean() + 0.1
    model.save(tmp_path / "m.mm")
    np.testing.assert_array_equal(mm.load(tmp_path / "m.mm").log_prob(X, y), model.log_prob(X, y))


def test_bounds_are_those_that_were_asked_for():
    rng, x = rows()
    y = 20 + 60 / (1 + np.exp(-(2 * x + 0.3 * rng.normal(size=N))))
    for family in (("beta", 20, 80), ("logit_normal", 20, 80)):
        draws = MDNRegressor(family=family, **SMALL).fit(x[:, None], y).sample(x[:, None], 50, random_state=0)
        assert 20 < draws.min() < 30
        assert 70 < draws.max() < 80


def test_targets_of_different_families_are_one_joint_density():
    rng, x = rows()
    side = rng.choice([-1.0, 1.0], size=N)
    y = {"angle": rng.vonmises(side, 20.0), "count": rng.poisson(np.where(side > 0, 9.0, 1.0)), "size": x + 0.1 * side}
    families = {"angle": "von_mises", "count": "negative_binomial"}
    model = MDNRegressor(target_families=families, **SMALL).fit(x[:, None], y)
    density = model.predict_distribution(x[:, None])
    assert density.components.kinds == ("angle", "count", "real")
    joint, alone = density.log_prob(torch.tensor(np.column_stack(list(y.values())))), 0.0
    for d, column in enumerate(y.values()):
        alone = alone + density.marginal(d).log_prob(torch.tensor(column, dtype=torch.float64)[:, None])
    assert (joint - alone).mean() > 0.3  # the angle tells the count
    by_place = MDNRegressor(target_families={0: "von_mises", 1: "negative_binomial"}, **SMALL)
    by_place.fit(x[:, None], np.column_stack(list(y.values())))
    np.testing.assert_allclose(by_place.predict(x[:, None]), model.predict(x[:, None]))


def test_atoms_go_with_other_families():
    rng, x = rows()
    y = np.where(rng.random(N) < 0.3, 0.0, np.exp(x + 0.3 * rng.normal(size=N)))
    model = MDNRegressor(family="log_normal", atoms=(0.0,), **SMALL).fit(x[:, None], y)
    assert model.predict_probability(x[:, None], 0.0, 0.0).mean() == pytest.approx(0.3, abs=0.1)
    assert model.predict_probability(x[:, None], None, -1e-9).max() == 0


def test_scales_of_several_targets_have_floors_of_their_own():
    rng, x = rows()
    y = np.column_stack([np.round(x * 3), x + 0.1 * rng.normal(size=N)])
    model = MDNRegressor(**SMALL).fit(x[:, None], y)
    first, second = model.architecture_.min_scale
    assert first == pytest.approx(1 / 6 / y[:, 0].std())
    assert second == 1e-3
    scales = model.predict_distribution(x[:, None]).components.scale
    assert scales[..., 0].min() >= 1 / 6 - 1e-6
    assert scales[..., 1].min() < 0.15


def test_floors_of_a_head_hold_in_products_and_full_matrices():
    for covariance_type in ("full", "low_rank", "diag"):
        head = MixtureHead(
            1, target_dim=2, n_components=3, family=blueprint_of(["normal"] * 2, covariance_type), min_scale=[0.5, 2.0]
        )
        with torch.no_grad():
            head.linear.weight.zero_()
            head.linear.bias.fill_(-50.0)
        parts = MixtureDensityNetwork(torch.nn.Identity(), head)(torch.zeros(1, 1)).components
        scale = parts.scale_tril.diagonal(dim1=-2, dim2=-1) if covariance_type == "full" else parts.scale
        torch.testing.assert_close(scale, torch.tensor([0.5, 2.0]).expand(1, 3, 2))
    with pytest.raises(InputError, match=r"^min_scale must have shape \(2,\) or be a number; got \(3,\)"):
        MixtureHead(1, target_dim=2, n_components=3, min_scale=[1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"family": ("gauss", 0, 1)}, "family with bounds must be one of 'beta', 'logit_laplace', "),
        ({"family": ("beta", 0)}, "family must be a name, or (name, low, high); got ('beta', 0)."),
        ({"family": ("beta", 3, 1)}, "the upper bound of family must be a number > 3; got 1."),
        ({"target_families": {"angle": "von_mises"}}, "y has no column 'angle'; it begins with 'y'."),
        ({"target_families": {3: "gamma"}}, "every place in target_families must be an integer from 0 to 0; got 3."),
        ({"target_families": {0: "gama"}}, "target_families[0] must be one of 'beta', "),
        ({"target_families": ["gamma"]}, "target_families must be a Mapping of target names, or places, to families;"),
        (
            {"family": "gamma", "covariance_type": "full"},
            "covariance_type must be 'diag' for family='gamma'; got 'full'.",
        ),
        ({"family": "gamma", "objective": "crps"}, "objective must not use 'crps' for family='gamma', where it is too"),
        ({"family": "gamma", "retrieval": True}, "retrieval needs the default backbone and normal components"),
        ({"family": "poisson"}, "column 1 of y must be"),
    ],
)
def test_families_that_cannot_be_are_refused(settings, sentence):
    _, x = rows()
    with pytest.raises((InputError, TypeError)) as caught:
        MDNRegressor(**{**SMALL, **settings}).fit(x[:, None], {"y": x})
    message = str(caught.value)
    assert message.startswith(sentence) or (settings == {"family": "poisson"} and "whole number" in message)


def test_checked_families_can_be_written_down_and_read():
    assert checked_family(["beta", 0, 2]) == ("beta", 0.0, 2.0)


def test_angles_beside_the_cut_have_short_intervals_good_scores_and_true_spreads():
    rng, x = rows()
    turned = np.remainder(np.pi + 0.5 * x + 0.1 * rng.normal(size=N) + np.pi, 2 * np.pi) - np.pi
    X = x[:, None]
    model = MDNRegressor(**SMALL, family="von_mises").fit(X, {"angle": turned})
    low, high = model.predict_interval(X, 0.9)[:, 0].T
    assert 0.2 < np.median(high - low) < 0.6
    inside = (np.remainder(turned - low, 2 * np.pi) <= high - low).mean()
    assert 0.8 < inside < 1
    assert model.score(X, turned) > 0.9
    off = np.abs(np.angle(np.exp(1j * (model.predict(X, point="median")[:, 0] - turned))))
    assert off.mean() < 0.15
    assert model.predict_components(X)["scale"].min() > 0.03
    curve = component_curves(model, X, "x0", grid=[0.0])
    best = curve["weight"].argmax()
    assert abs(curve["angle_location"][best]) > 2.9
    assert curve["angle_scale"][best] < 0.4
    dependence = partial_dependence(model, X, "x0", grid=[0.0])
    assert dependence["angle_q0.95"][0] - dependence["angle_q0.05"][0] < 1


# --- suggestions ---


def suggested(values, name="y", family="normal"):
    return suggestion(inspect_target(np.asarray(values, dtype=float)), name, family)


def test_families_are_suggested_by_values_and_names_and_never_chosen():
    rng, x = rows()
    assert suggested(rng.poisson(5, N), "rentals") == (
        "'rentals' takes whole numbers from 0 on, as counts do; target_families={'rentals': 'negative_binomial'} may "
        "suit it."
    )
    assert "sounds like an angle in radians" in suggested(3 * x, "wind_direction")
    assert "once it is in radians" in suggested(180 * x, "heading")
    assert "'beta'" in suggested(0.5 + 0.45 * x, "share")
    assert "'log_normal'" in suggested(np.exp(3 * x), "price")
    for values, name, family in (
        (3 * x, "height", "normal"),
        (np.exp(3 * x), "price", "gamma"),
        (180 * x, "size", "normal"),
    ):
        assert suggested(values, name, family) is None
    model = MDNRegressor(**{**SMALL, "max_epochs": 1}).fit(x[:, None], {"angle": 3 * x})
    assert any("von_mises" in note for note in model.target_notes())
    assert model.architecture_.family == "normal"
    assert isinstance(model.predict_distribution(x[:, None]), Mixture)
