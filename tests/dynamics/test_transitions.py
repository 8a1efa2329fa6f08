import numpy as np
import pytest
import torch

from manymodes._checks import InputError
from manymodes.datasets import SlippingCart, make_double_well, make_slipping_cart
from manymodes.dynamics import TransitionModel

ROWS = make_slipping_cart(40, random_state=5)
STATES, ACTIONS, NEXT_STATES = ROWS


def small(rows=ROWS, **settings) -> TransitionModel:
    settings = {"n_members": 2, "n_components": 2, "hidden_sizes": (4,), "random_state": 0, **settings}
    return TransitionModel(**settings).fit(*rows, n_steps=3, compile=False)


# --- what is predicted ---


def test_a_fitted_model_is_nearer_to_the_truth_than_one_normal(fitted):
    y = torch.from_numpy(NEXT_STATES)
    learned = fitted.predict_distribution(STATES, ACTIONS).log_prob(y).mean()
    moved = torch.from_numpy(NEXT_STATES - STATES)
    plain = torch.distributions.Normal(moved.mean(0), moved.std(0)).log_prob(moved).sum(-1).mean()
    exact = SlippingCart().predict_distribution(STATES, ACTIONS).log_prob(y).mean()
    assert plain + 1.0 < learned < exact


def test_the_density_is_that_of_the_change_moved_by_the_state(fitted):
    y = torch.from_numpy(NEXT_STATES)
    x = torch.from_numpy(np.hstack([STATES, ACTIONS]))
    with torch.no_grad():
        of_change = fitted.network(x).log_prob(y - torch.from_numpy(STATES))
    torch.testing.assert_close(fitted.predict_distribution(STATES, ACTIONS).log_prob(y), of_change)


def test_the_prediction_is_the_average_of_the_members(fitted):
    y = torch.from_numpy(NEXT_STATES)
    members = fitted.members(STATES, ACTIONS)
    assert members.batch_shape == (2, 40)
    average = members.log_prob(y.expand(2, -1, -1)).exp().mean(0)
    torch.testing.assert_close(fitted.predict_distribution(STATES, ACTIONS).log_prob(y).exp(), average)


def test_members_asked_about_rows_of_their_own_answer_as_if_asked_alone(fitted):
    states, actions = (torch.from_numpy(part).unflatten(0, (2, 20)) for part in (STATES, ACTIONS))
    own = fitted.each(states, actions)
    for member in range(2):
        alone = fitted.members(states[member], actions[member])
        torch.testing.assert_close(own.mean[member], alone.mean[member])
        torch.testing.assert_close(own.variance[member], alone.variance[member])


def test_the_answer_has_the_precision_of_the_question(fitted):
    question = torch.zeros(3, 2), torch.zeros(3, 1)
    assert fitted.predict_distribution(*question).mean.dtype == torch.float32
    assert fitted.predict_distribution(*(part.double() for part in question)).mean.dtype == torch.float64


def test_predictions_do_not_depend_on_units():
    metres = small()
    feet = small((STATES * 3.0, ACTIONS, NEXT_STATES * 3.0))
    mean = metres.predict_distribution(STATES, ACTIONS).mean * 3.0
    torch.testing.assert_close(feet.predict_distribution(STATES * 3.0, ACTIONS).mean, mean, rtol=1e-4, atol=1e-4)


def test_fits_with_one_seed_agree_and_leave_the_global_one_alone():
    before = torch.get_rng_state()
    first, second = (small().predict_distribution(STATES, ACTIONS).mean for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(before, torch.get_rng_state())


# --- what members doubt ---


def test_members_disagree_more_where_there_were_no_rows():
    states, actions, next_states = make_double_well(800, random_state=0)
    known = states[:, 0] < 0.5
    model = TransitionModel(n_members=4, n_components=3, hidden_sizes=(24,), random_state=0)
    model.fit(*(part[known] for part in (states, actions, next_states)), n_steps=400, compile=False)
    doubt = model.disagreement(states, actions)
    assert doubt.shape == (800,)
    assert doubt[~known].mean() > 2 * doubt[known].mean()


def test_a_single_member_does_not_disagree_with_itself():
    assert small(n_members=1).disagreement(STATES, ACTIONS).abs().max() == 0


# --- files ---


def test_a_loaded_model_predicts_alike_bit_for_bit(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    again = TransitionModel.load(tmp_path / "model.safetensors")
    y = torch.from_numpy(NEXT_STATES)
    before, after = (one.predict_distribution(STATES, ACTIONS).log_prob(y) for one in (fitted, again))
    assert torch.equal(before, after)
    assert again.history.best_epochs == fitted.history.best_epochs
    assert (again.n_members, again.n_components, again.hidden_sizes) == (2, 3, (24, 24))


def test_a_loaded_model_can_be_fitted_anew(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    again = TransitionModel.load(tmp_path / "model.safetensors").fit(*ROWS, n_steps=2, compile=False)
    assert again.predict_distribution(STATES, ACTIONS).batch_shape == (40,)


def test_a_model_file_of_another_kind_is_refused(tmp_path):
    from manymodes.training.tensor_file import TensorFile

    TensorFile("manymodes", 1, "model file").write(tmp_path / "other.mm", {"w": torch.zeros(1)}, {})
    path = str(tmp_path / "other.mm")
    with pytest.raises(InputError) as refusal:
        TransitionModel.load(path)
    assert str(refusal.value) == f"{path!r} is a safetensors file, but not a transition model file."


def test_a_file_whose_tensors_do_not_fit_is_refused(fitted, tmp_path):
    from manymodes.dynamics.transitions import FORMAT

    fitted.save(tmp_path / "model.safetensors")
    tensors, document = FORMAT.read(tmp_path / "model.safetensors")
    FORMAT.write(tmp_path / "wrong.safetensors", dict(list(tensors.items())[1:]), document)
    with pytest.raises(InputError, match="does not describe a model as it should"):
        TransitionModel.load(tmp_path / "wrong.safetensors")


# --- what is refused ---


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            (STATES[:, 0], ACTIONS, NEXT_STATES),
            "states must have shape (N, columns) with a row for each transition; got (40,).",
        ),
        (
            (STATES, ACTIONS[:30], NEXT_STATES),
            "states and actions must have the same number of rows; got 40 and 30.",
        ),
        (
            (STATES, ACTIONS, NEXT_STATES[:30]),
            "states and next_states must have the same number of rows; got 40 and 30.",
        ),
        (
            (STATES, ACTIONS, NEXT_STATES[:, :1]),
            "next_states must have shape (N, 2) to match states; got (40, 1).",
        ),
        (
            (np.where(np.arange(40)[:, None] == 6, np.nan, STATES), ACTIONS, NEXT_STATES),
            "states must hold finite numbers; row 7 does not. Drop such rows.",
        ),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(rows, sentence):
    with pytest.raises(InputError) as refusal:
        TransitionModel().fit(*rows)
    assert str(refusal.value) == sentence


def test_zero_members_are_refused():
    with pytest.raises(InputError, match=r"^n_members must be an integer >= 1; got 0\.$"):
        TransitionModel(n_members=0)


def test_questions_before_fit_are_refused():
    with pytest.raises(InputError) as refusal:
        TransitionModel().predict_distribution(STATES, ACTIONS)
    assert str(refusal.value) == "the transition model must be fitted before it predicts; call fit first."


def test_questions_of_another_width_are_refused(fitted):
    with pytest.raises(InputError) as refusal:
        fitted.predict_distribution(STATES, STATES)
    assert str(refusal.value) == "actions must have shape (N, 1) as the model was fitted with; got (40, 2)."
