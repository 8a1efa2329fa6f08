"""What the default does on tables that spoil other models: outliers, categories, lattices, inputs far away."""

import re
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import Incomplete
from manymodes.estimators.predictions import checked
from manymodes.estimators.presets import PRESETS

QUICK = {"preset": "fast", "random_state": 0}


def wave(n=300, seed=0, rough=False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    level = np.sin(40 * np.round(X[:, 0] * 6)) if rough else X[:, 0] + 0.5 * X[:, 1]
    return X, level + 0.05 * rng.normal(size=n)


def log_score(model, X, y) -> float:
    return mm.metrics.log_score(model.predict_distribution(X), torch.tensor(y)[:, None]).mean().item()


@pytest.mark.parametrize(("rough", "chosen"), [(False, 0.02), (True, 1.5)])
def test_the_race_finds_out_how_fast_predictions_change(rough, chosen):
    X, y = wave(rough=rough)
    model = mm.MDNRegressor(3, max_epochs=40, n_members=2, hidden_sizes=(32, 32), random_state=0).fit(X, y)
    assert chosen in model.race_.chosen
    assert model.race_.frequencies[int(np.argmin(model.race_.losses))] == chosen
    assert set(model.architecture_.frequencies) <= set(model.race_.chosen)


def test_a_fixed_frequency_is_taken_without_a_race():
    model = mm.MDNRegressor(3, frequency=0.1, n_members=3, max_epochs=1, random_state=0).fit(*wave(40))
    assert model.architecture_.frequencies == (0.1, 0.1, 0.1)
    assert model.race_.losses == ()


def test_quiet_targets_are_fitted_longer_than_noisy_ones(monkeypatch):
    small = replace(PRESETS["default"], n_members=2, steps=200, epochs=1, hidden_sizes=(32,), race_steps=150)
    monkeypatch.setitem(PRESETS, "default", small)
    X, y = wave(160)
    noise = np.random.default_rng(1).normal(size=160)
    models = [mm.MDNRegressor(3, random_state=0).fit(X, y + scale * noise) for scale in (0.0, 5.0)]
    quiet, noisy = (model.race_.length for model in models)
    assert 0.5 <= noisy < 1 < quiet <= 2
    steps = [model.history_.max_epochs * 9 for model in models]  # 140 rows to learn from, in batches of 16
    assert steps == [pytest.approx(200 * length, abs=9) for length in (quiet, noisy)]


def test_presets_compute_more_or_less():
    members = {name: PRESETS[name].n_members for name in ("fast", "default", "best")}
    assert members["fast"] < members["default"] < members["best"]
    model = mm.MDNRegressor(**QUICK).fit(*wave(60))
    assert model.history_.n_members == members["fast"]
    with pytest.raises(InputError, match=r"^preset must be one of 'best', 'default', 'fast'; got 'slow'\.$"):
        mm.MDNRegressor(preset="slow").fit(*wave(60))


def test_a_time_limit_is_kept_by_race_and_fit_together():
    started = time.monotonic()
    model = mm.MDNRegressor(preset="best", n_members=4, time_limit=3.0, random_state=0).fit(*wave(500))
    assert time.monotonic() - started < 10  # of which starting up takes some
    assert model.history_.ended_by == "time_limit"
    assert log_score(model, *wave(500, seed=1)) < 0.0


@pytest.mark.parametrize("size", [1e2, 1e6])
def test_outliers_in_the_target_do_not_wreck_the_fit(size):
    X, y = wave(400)
    spoiled = y.copy()
    spoiled[::80] = size
    test = wave(400, seed=1)
    settings = {"n_components": 5, "frequency": 0.1, "n_members": 2, "max_epochs": 80, "random_state": 0}
    clean, dirty = (mm.MDNRegressor(**settings).fit(X, target) for target in (y, spoiled))
    error = [np.abs(model.predict(test[0], point="median") - test[1]).mean() for model in (clean, dirty)]
    assert error[1] < 1.2 * error[0]
    assert log_score(dirty, *test) < log_score(clean, *test) + 0.3
    assert any("family='student_t'" in sentence for sentence in dirty.target_notes())


def test_gross_outliers_leave_the_crps_out_of_the_default_objective():
    X, y = wave(60)
    spoiled = np.where(np.arange(60) == 7, 1e6, y)
    settings = {**QUICK, "n_members": 1, "max_epochs": 1, "n_components": 2}
    values = [mm.MDNRegressor(**settings).fit(X, target).history_.best_validation_loss for target in (y, spoiled)]
    plain = [
        mm.MDNRegressor(**settings, objective="nll").fit(X, target).history_.best_validation_loss
        for target in (y, spoiled)
    ]
    assert values[0] != plain[0]
    assert values[1] == plain[1]


def test_rows_are_named_as_the_user_counts_them_though_weights_leave_some_out():
    X, y = wave(60)
    y[50] = 1e6
    weight = np.where(np.arange(60) < 30, 0.0, 1.0)
    model = mm.MDNRegressor(**QUICK, max_epochs=1).fit(X, y, weight)
    assert "first: row 51" in model.target_notes()[0]


def test_a_target_that_is_constant_where_it_has_weight_is_refused():
    X, _ = wave(40)
    y = np.arange(40) == 39
    with pytest.raises(InputError, match=r"^column 0 of y must take at least two different values; all 39 rows"):
        mm.MDNRegressor(**QUICK).fit(X, y.astype(float), 1.0 - y)


def test_predictions_of_many_rows_are_those_of_few():
    X, y = wave(60)
    model = mm.MDNRegressor(**QUICK, max_epochs=2).fit(X, y)
    whole, parts = model.predict_distribution(X), list(model.iter_distributions(X, batch_size=7))
    assert [len(part.mean) for part in parts] == [7] * 8 + [4]
    torch.testing.assert_close(torch.cat([part.mean for part in parts]), whole.mean, rtol=1e-12, atol=1e-12)
    with pytest.raises(InputError, match=r"^batch_size must be an integer >= 1; got 0\.$"):
        next(model.iter_distributions(X, batch_size=0))


@pytest.mark.parametrize("ndim", [1, 2])
def test_answers_for_many_rows_come_in_batches_and_keep_their_shapes(ndim, monkeypatch):
    X, y = wave(60)
    model = mm.MDNRegressor(**QUICK, max_epochs=2).fit(X, y.reshape((-1, 1)[:ndim]))
    by_seven = partial(type(model).iter_distributions, model, batch_size=7)

    def answers():
        return [
            model.predict(X),
            model.predict(X, point="mode"),
            model.predict_quantiles(X, (0.1, 0.5, 0.9)),
            model.predict_interval(X),
        ]

    whole = answers()
    monkeypatch.setattr(model, "iter_distributions", by_seven)
    for one, other in zip(whole, answers(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    tail = (1,) * (ndim - 1)
    assert [answer.shape for answer in whole] == [(60, *tail), (60, *tail), (60, *tail, 3), (60, *tail, 2)]
    assert model.sample(X, 5, random_state=0).shape == (5, 60, *tail)


def test_a_row_that_is_too_extreme_is_named_whatever_its_batch():
    X, y = wave(60)
    density = mm.MDNRegressor(**QUICK, max_epochs=2).fit(X, y).predict_distribution(X[:7])
    density.components.loc[4] = torch.nan
    with pytest.raises(InputError, match=r"^X must stay near the training data; row 12 is too extreme"):
        checked(density, first_row=7)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"atoms": 0.0}, "atoms must be a list of numbers, say (0.0,); got 0.0."),
        ({"atoms": "0"}, "atoms must be a list of numbers, say (0.0,); got '0'."),
        ({"atoms": (0.0, 0.0)}, "atoms must differ; got (0.0, 0.0)."),
        ({"atoms": (0.0,), "target_noise": 0.1}, "target_noise must be 0 for families of counts, angles or bounded"),
        ({"n_components": "five"}, "n_components must be 'auto' or an integer >= 1; got 'five'."),
        (
            {"categorical_features": "x"},
            "categorical_features must be a list of column names or places, say ['colour'];",
        ),
        ({"categorical_features": 1}, "categorical_features must be a list of column names or places, say ['colour'];"),
        ({"categorical_features": ["x"]}, "categorical_features must be places where X has no column names; got 'x'."),
        ({"rounding": 0.1, "objective": "crps"}, "objective must be 'nll' with rounding, whose targets are cells"),
        ({"rounding": 0.1, "retrieval": True}, "retrieval must be False with rounding, whose targets are cells"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}"):
        mm.MDNRegressor(**QUICK, **settings).fit(*wave(40))


def test_a_function_may_score_rounding_cells():
    def doubled(distribution, y, weight):
        return 2 * mm.objectives.nll(distribution, y, weight)

    X, y = wave(40)
    model = mm.MDNRegressor(**QUICK, max_epochs=1, rounding=0.1, objective=doubled).fit(X, np.round(y, 1))
    assert np.isfinite(model.history_.best_validation_loss)


def test_outliers_spikes_and_constants_among_the_inputs_do_not_wreck_the_fit():
    X, y = wave(400)
    junk = np.zeros((400, 3))
    junk[:10, 0] = np.arange(10)  # a spike at 0
    junk[:, 1] = 7.0
    junk[:, 2] = np.random.default_rng(0).standard_cauchy(400) ** 3
    spoiled = np.column_stack([X, junk])
    spoiled[5, 0] = 1e9
    test_X, test_y = wave(400, seed=1)
    model = mm.MDNRegressor(**QUICK).fit(spoiled, y)
    score = log_score(model, np.column_stack([test_X, junk[::-1]]), test_y)
    assert score < log_score(mm.MDNRegressor(**QUICK).fit(X, y), test_X, test_y) + 0.5


def test_beyond_the_training_range_predictions_widen_and_do_not_oscillate():
    X, y = wave(400)
    model = mm.MDNRegressor(frequency=1.5, n_components=2, n_members=8, max_epochs=60, random_state=0).fit(X, y)
    inside = model.predict_distribution(np.column_stack([np.linspace(-0.9, 0.9, 50), np.zeros(50)]))
    line = np.linspace(1.0, 6.0, 200)
    outside = model.predict_distribution(np.column_stack([line, np.zeros(200)]))
    assert outside.stddev[-1] > 3 * inside.stddev.median()
    turns = (outside.mean[:, 0].diff().sign().diff() != 0).sum()
    assert turns <= 3


def test_categories_are_names_and_not_numbers():
    rng = np.random.default_rng(0)
    codes = rng.permutation(12) * 10.0
    level = rng.normal(size=12) * 3
    k = rng.integers(12, size=600)
    X, y = np.column_stack([codes[k], rng.normal(size=600)]), level[k] + 0.1 * rng.normal(size=600)
    settings = {"frequency": 0.02, "n_components": 2, "n_members": 2, "max_epochs": 60, "random_state": 0}
    plain, named = (
        mm.MDNRegressor(categorical_features=names, **settings).fit(X[:400], y[:400]) for names in ((), (0,))
    )
    assert log_score(named, X[400:], y[400:]) < log_score(plain, X[400:], y[400:]) - 0.3
    unseen = named.predict_distribution([[999.0, 0.0]])
    assert unseen.mean.isfinite().all()
    frame = {"shop": X[:, 0], "size": X[:, 1]}
    assert mm.MDNRegressor(categorical_features=["shop"], **{**settings, "max_epochs": 1}).fit(frame, y)
    with pytest.raises(InputError, match=r"^every place in categorical_features must be an integer from 0 to 1; got 2"):
        mm.MDNRegressor(categorical_features=[2], **settings).fit(X, y)


def test_the_scale_floor_follows_the_lattice_of_the_target_and_is_told():
    X, y = wave(400)
    y = np.round(y / 0.2) * 0.2
    model = mm.MDNRegressor(**QUICK).fit(X, y)
    density = model.predict_distribution(X)
    assert density.components.stddev.min().item() > 0.9 * 0.2 / 6
    assert "lattice" in " ".join(model.target_notes())
    cells = mm.MDNRegressor(rounding=0.2, **QUICK).fit(X, y)
    test_X, test_y = wave(400, seed=1)
    test_y = torch.tensor(np.round(test_y / 0.2) * 0.2)[:, None]
    by_cell = [
        -one.predict_distribution(test_X).log_prob(Incomplete.rounded(test_y, 0.2)).mean().item()
        for one in (model, cells)
    ]
    assert by_cell[1] < by_cell[0] + 0.05


def test_an_atom_gets_the_share_of_rows_that_sit_on_it():
    X, y = wave(600)
    y = np.where(y < 0, 0.0, y)
    model = mm.MDNRegressor(atoms=(0.0,), **QUICK).fit(X, y)
    density = model.predict_distribution([[-0.9, -0.9], [0.9, 0.9]])
    atom = density.log_prob(torch.zeros(2, 1, dtype=torch.float64)).exp()
    assert atom[0] > 0.9
    assert atom[1] < 0.1


@pytest.mark.parametrize("family", ["student_t", "laplace", "logistic"])
def test_other_families_can_be_asked_for_by_name(family, tmp_path):
    model = mm.MDNRegressor(family=family, max_epochs=5, **QUICK).fit(*wave(100))
    model.save(tmp_path / "m.mm")
    loaded = mm.load(tmp_path / "m.mm")
    X, y = wave(100)
    assert log_score(loaded, X, y) == log_score(model, X, y)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"rounding": 0.1, "atoms": (0.0,)},
            "atoms must be left out with rounding: a cell of values holds no single one.",
        ),
        (
            {"family": "cauchy"},
            "family must be one of 'beta', 'gamma', 'laplace', 'log_normal', "
            "'logistic', 'logit_laplace', 'logit_logistic', 'logit_normal', 'logit_student_t', "
            "'negative_binomial', 'normal', 'poisson', 'student_t', 'von_mises'; got 'cauchy'.",
        ),
        (
            {"family": "student_t", "covariance_type": "full"},
            "covariance_type must be 'diag' for family='student_t'; got 'full'.",
        ),
        (
            {"input_noise": 0.1, "categorical_features": (0,)},
            "input_noise must be 0 where features are categories, whose numbers are names.",
        ),
        ({"time_limit": 0}, "time_limit must be a number > 0; got 0."),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, sentence):
    with pytest.raises(InputError) as caught:
        mm.MDNRegressor(max_epochs=1, **{**QUICK, **settings}).fit(*wave(40))
    assert str(caught.value) == sentence


def test_what_is_for_one_target_is_refused_for_several():
    X, y = wave(40)
    with pytest.raises(InputError, match=r"^rounding must be left out for several targets; got 2 of them\.$"):
        mm.MDNRegressor(rounding=0.1, **QUICK).fit(X, np.column_stack([y, y]))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"family": "student_t"}, "objective must not use 'crps' for family='student_t', where it is too slow"),
        ({"atoms": (0.0,)}, "objective must not use 'crps' with atoms, where it is too slow to train with; take"),
    ],
)
def test_an_objective_for_normals_is_refused_elsewhere(settings, sentence):
    X, y = mm.datasets.load_geyser()
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}"):
        mm.MDNRegressor(objective="0.7 nll + 0.3 crps", **settings).fit(X, y)
