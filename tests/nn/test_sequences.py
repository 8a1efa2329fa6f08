"""Backbones for sequences: causal, at every step or at the last real one, packed or padded, alone or as members."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from manymodes._checks import InputError
from manymodes.nn import (
    CausalTransformer,
    Members,
    MixtureDensityNetwork,
    MixtureHead,
    Recurrent,
    TemporalConvolution,
)

N, T, F, H, D, K = 5, 7, 3, 8, 2, 4
LENGTHS = torch.tensor([4, 7, 1, 7, 2])
KINDS = {
    "gru": lambda **settings: Recurrent(F, H, n_layers=2, **settings),
    "lstm": lambda **settings: Recurrent(F, H, kind="lstm", **settings),
    "convolution": lambda **settings: TemporalConvolution(F, H, n_layers=3, **settings),
    "transformer": lambda **settings: CausalTransformer(F, H, **settings),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def steps(n_rows=N):
    return torch.randn(n_rows, T, F, generator=torch.Generator().manual_seed(0))


def sequences():
    return [row[:length] for row, length in zip(steps(), LENGTHS.tolist(), strict=True)]


def packed():
    return pack_sequence(sequences(), enforce_sorted=False)


def network(backbone, n_members=None):
    if n_members is not None:
        backbone = Members(backbone, n_members)
    net = MixtureDensityNetwork(backbone, MixtureHead(H, target_dim=D, n_components=K, n_members=n_members))
    return net.eval()


@every_kind
def test_features_stand_at_every_step_or_at_the_last(make):
    torch.manual_seed(0)
    whole = make(every_step=True).eval()
    last = make().eval()
    last.load_state_dict(whole.state_dict())
    assert whole(steps()).shape == (N, T, H)
    torch.testing.assert_close(last(steps()), whole(steps())[:, -1])


@every_kind
def test_no_step_sees_a_later_one(make):
    torch.manual_seed(0)
    backbone, x = make(every_step=True).eval(), steps()
    changed = x.clone()
    changed[:, 4:] += 3.0
    before, after = backbone(x), backbone(changed)
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert ((after - before)[:, 4:].abs().amax(-1) > 1e-6).all()


@every_kind
def test_every_step_depends_on_the_first_one(make):
    torch.manual_seed(0)
    backbone, x = make(every_step=True).eval(), steps()
    changed = x.clone()
    changed[:, 0] += 1.0
    assert ((backbone(changed) - backbone(x)).abs().amax(-1) > 1e-7).all()


@every_kind
def test_padded_steps_change_nothing(make):
    torch.manual_seed(0)
    backbone = make().eval()
    rubbish = steps()
    rubbish[torch.arange(T) >= LENGTHS.unsqueeze(-1)] = 1e3
    alone = torch.stack([backbone(sequence.unsqueeze(0))[0] for sequence in sequences()])
    torch.testing.assert_close(backbone({"steps": rubbish, "lengths": LENGTHS}), alone)
    torch.testing.assert_close(backbone(packed()), alone)


@every_kind
def test_a_packed_input_is_predicted_step_by_step_in_its_own_order(make):
    torch.manual_seed(0)
    net = network(make(every_step=True))
    y = [torch.randn(int(length), D) for length in LENGTHS]
    found = net(packed()).log_prob(pack_sequence(y, enforce_sorted=False).data)
    expected = [net(one.unsqueeze(0))[0].log_prob(own) for one, own in zip(sequences(), y, strict=True)]
    assert found.shape == (int(LENGTHS.sum()),)
    torch.testing.assert_close(found, pack_sequence(expected, enforce_sorted=False).data)


def test_a_packed_input_that_is_sorted_already_needs_no_order():
    net = network(Recurrent(F, H, every_step=True))
    ordered = sorted(sequences(), key=len, reverse=True)
    mean = net(pack_sequence(ordered)).mean
    expected = [net(one.unsqueeze(0))[0].mean for one in ordered]
    torch.testing.assert_close(mean, pack_sequence(expected).data)


@every_kind
def test_a_packed_input_whose_last_steps_are_asked_gives_one_prediction_a_sequence(make):
    assert network(make())(packed()).batch_shape == (N,)


@every_kind
def test_members_of_a_sequence_backbone_are_the_copies_one_by_one(make):
    torch.manual_seed(0)
    single = make(every_step=True).eval()
    members = Members(single, 3).eval()
    torch.testing.assert_close(members(steps().expand(3, N, T, F)), single(steps()).expand(3, N, T, H))
    net = network(make(every_step=True), 3)
    assert net.members(steps()).batch_shape == (3, N, T)
    assert net(steps()).batch_shape == (N, T)
    assert net(packed()).batch_shape == (int(LENGTHS.sum()),)


@every_kind
def test_gradients_reach_every_parameter(make):
    torch.manual_seed(0)
    backbone = make(every_step=True)
    backbone(steps()).square().sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    live = [parameter.grad.abs().sum() > 0 for parameter in backbone.parameters()]
    assert all(live)


@every_kind
def test_steps_are_standardised_whatever_their_units(make):
    torch.manual_seed(0)
    net, y = network(make(every_step=True)), torch.randn(N, T, D)
    net.initialise(steps(), y, torch.Generator())
    before = net(steps()).mean
    units = torch.tensor([1e3, 1.0, 1e-3])
    net.initialise(1e6 + units * steps().double(), y, torch.Generator())
    torch.testing.assert_close(net(1e6 + units * steps().double()).mean.float(), before, rtol=1e-4, atol=1e-5)


def test_padded_steps_do_not_count_when_scaling_is_learned():
    net = network(Recurrent(F, H, every_step=True))
    rubbish = steps()
    rubbish[torch.arange(T) >= LENGTHS.unsqueeze(-1)] = 1e3
    net.initialise({"steps": rubbish, "lengths": LENGTHS}, torch.randn(int(LENGTHS.sum()), D), torch.Generator())
    scaled = net.scale_input({"steps": rubbish, "lengths": LENGTHS})["steps"]
    real = scaled[torch.arange(T) < LENGTHS.unsqueeze(-1)]
    torch.testing.assert_close(real.mean(0), torch.zeros(F), atol=1e-5, rtol=0)
    torch.testing.assert_close(real.std(0, correction=0), torch.ones(F))


def test_a_convolution_reaches_as_far_as_it_says():
    backbone = TemporalConvolution(1, H, n_layers=2, kernel_size=3, every_step=True)
    x = torch.zeros(1, 20, 1, requires_grad=True)
    backbone(x)[0, -1].sum().backward()
    assert backbone.reach == 7
    assert int((x.grad[0, :, 0] != 0).sum()) == 7


def test_dropout_acts_while_training_only():
    for make in KINDS.values():
        backbone = make(dropout=0.5)
        assert not torch.equal(backbone(steps()), backbone(steps()))
        backbone.eval()
        assert torch.equal(backbone(steps()), backbone(steps()))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Recurrent(F, kind="rnn"), "kind must be one of 'gru', 'lstm'; got 'rnn'."),
        (lambda: Recurrent(0), "in_features must be an integer >= 1; got 0."),
        (lambda: TemporalConvolution(F, n_layers=0), "n_layers must be an integer >= 1; got 0."),
        (
            lambda: CausalTransformer(F, 6, n_heads=4),
            "hidden_features must be even and a multiple of n_heads=4; got 6.",
        ),
        (
            lambda: Recurrent(F)(torch.zeros(T, F)),
            "x must have shape (N, T, 3) as the backbone takes sequences; got (7, 3).",
        ),
        (
            lambda: Recurrent(F)({"steps": steps()}),
            "x must hold 'steps' and 'lengths' of sequences; got 'steps'.",
        ),
        (lambda: Recurrent(F)(torch.zeros(2, 0, F)), "x must have at least 1 step; got 0."),
        (
            lambda: Recurrent(F)({"steps": steps(), "lengths": torch.tensor([1, 2])}),
            "lengths must have shape (5,) one for each sequence; got (2,).",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, sentence):
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == sentence


@every_kind
def test_what_is_not_finite_in_padded_steps_reaches_nothing(make):
    torch.manual_seed(0)
    backbone, rubbish = make(every_step=True).eval(), steps()
    real = torch.arange(T) < LENGTHS.unsqueeze(-1)
    expected = backbone({"steps": rubbish, "lengths": LENGTHS})[real]
    rubbish[~real] = torch.nan
    torch.testing.assert_close(backbone({"steps": rubbish, "lengths": LENGTHS})[real], expected)


def test_a_network_of_packed_sequences_takes_whole_ones_and_the_other_way_around():
    net, whole = network(Recurrent(F, H, every_step=True)), network(Recurrent(F, H, every_step=True))
    net.initialise({"steps": steps(), "lengths": LENGTHS}, torch.randn(9, D), torch.Generator())
    whole.initialise(steps(), torch.randn(9, D), torch.Generator())
    for own in (net, whole):
        one = own(steps()[:1, :4]).mean
        torch.testing.assert_close(own({"steps": steps()[:1], "lengths": torch.tensor([4])}).mean[:, :4], one)


def test_a_new_network_takes_the_weights_of_one_that_has_seen_packed_sequences():
    net, other = network(Recurrent(F, H, every_step=True)), network(Recurrent(F, H, every_step=True))
    net.initialise({"steps": 5 + steps(), "lengths": LENGTHS}, torch.randn(9, D), torch.Generator())
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(packed()).mean, net(packed()).mean)


@pytest.mark.parametrize(
    ("lengths", "got"), [([4, 7, 0, 7, 2], "0"), ([4, 8, 1, 7, 2], "8"), ([4.0, 2.5, 1.0, 7.0, 2.0], "2.5")]
)
def test_lengths_that_cannot_be_are_refused(lengths, got):
    net = network(TemporalConvolution(F, H, every_step=True))
    with pytest.raises(InputError) as caught:
        net({"steps": steps(), "lengths": torch.tensor(lengths)})
    place = 3 if got == "0" else 2
    assert str(caught.value) == (
        f"x['lengths'] must hold whole numbers from 1 to 7, the steps there are; got {got} first in row {place}."
    )
