"""Targets at every step: what is fitted, what counts, and what packed sequences are."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import Incomplete
from manymodes.nn import MLP, Members, MixtureDensityNetwork, MixtureHead, Recurrent
from manymodes.training.gradients import member_losses
from manymodes.training.rows.data import as_rows

N, T, F, D = 60, 6, 2, 1


def walks(lengths=None, seed=0):
    """Return sums of steps so far, which the step alone does not tell, as lists of sequences."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, T, F, generator=generator)
    y = x.cumsum(1).sum(-1, keepdim=True) + 0.1 * torch.randn(N, T, D, generator=generator)
    lengths = [T] * N if lengths is None else lengths
    return [row[:length] for row, length in zip(x, lengths, strict=True)], [
        row[:length] for row, length in zip(y, lengths, strict=True)
    ]


def lengths(seed=1):
    return torch.randint(1, T + 1, (N,), generator=torch.Generator().manual_seed(seed)).tolist()


def make(n_members=None, every_step=True, seed=0):
    torch.manual_seed(seed)
    backbone = Recurrent(F, 16, every_step=every_step)
    if n_members is not None:
        backbone = Members(backbone, n_members)
    return MixtureDensityNetwork(backbone, MixtureHead(16, target_dim=D, n_components=2, n_members=n_members))


def pack(sequences):
    return pack_sequence(sequences, enforce_sorted=False)


@pytest.mark.parametrize("n_members", [None, 2])
def test_a_recurrent_network_learns_what_needs_memory(n_members):
    x, y = (torch.stack(part) for part in walks())
    net = make(n_members)
    mm.fit(net, (x, y), max_epochs=60, batch_size=20, lr=2e-2, random_state=0)
    x_new, y_new = (torch.stack(part) for part in walks(seed=5))
    own = MixtureDensityNetwork(MLP(F, (16,)), MixtureHead(16, target_dim=D, n_components=2))
    mm.fit(own, (x, y), max_epochs=60, batch_size=20, lr=2e-2, random_state=0)  # sees a step, and no memory
    assert net(x_new).batch_shape == (N, T)
    assert net(x_new).log_prob(y_new).mean() > own(x_new).log_prob(y_new).mean() + 0.7


def test_packed_and_padded_sequences_are_one_fit():
    x, y = walks(lengths())
    history = mm.fit(net := make(), (pack(x), pack(y)), max_epochs=2, random_state=0)
    padded = {"steps": torch.nn.utils.rnn.pad_sequence(x, batch_first=True), "lengths": torch.tensor(list(map(len, x)))}
    targets = torch.nn.utils.rnn.pad_sequence(y, batch_first=True, padding_value=torch.nan)
    other = mm.fit(again := make(), (padded, targets), max_epochs=2, random_state=0)
    assert history.validation_loss == other.validation_loss
    assert torch.equal(net(pack(x)).mean, again(pack(x)).mean)
    assert net(pack(x)).batch_shape == (sum(map(len, x)),)


def test_packed_sequences_with_one_target_each_are_fitted():
    x, y = walks(lengths())
    last = torch.stack([own[-1] for own in y])
    net = make(every_step=False)
    history = mm.fit(net, (pack(x), last), max_epochs=20, lr=1e-2, random_state=0)
    assert net(pack(x)).batch_shape == (N,)
    assert history.validation_loss[-1] < history.validation_loss[0]


@pytest.mark.parametrize("n_members", [None, 3])
def test_the_loss_is_the_mean_over_steps_that_are_real(n_members):
    x, y = walks(lengths())
    net = make(n_members)
    rows = as_rows("data", (pack(x), pack(y)), net)
    net.initialise(rows.x, rows.known_targets(), torch.Generator())
    index = torch.arange(N) if n_members is None else torch.arange(N).expand(n_members, -1)
    losses = member_losses(net, rows.scaled(net).take(index), mm.objectives.nll)
    for place, loss in enumerate(losses):
        log_prob = net.members(pack(x)).log_prob(pack(y).data) if n_members is None else None
        if n_members is not None:
            log_prob = net.members(pack(x))[place].log_prob(pack(y).data)
        expected = -log_prob.mean() - net.target_scaling.scale.log().sum()
        torch.testing.assert_close(loss, expected.float(), rtol=1e-4, atol=1e-5)


def test_padding_does_not_move_the_scaling_of_targets():
    x, y = walks(lengths())
    net = make()
    mm.fit(net, (pack(x), pack([own + 100.0 for own in y])), max_epochs=1, random_state=0, validation=torch.arange(2))
    known = torch.cat([own + 100.0 for own in y[2:]])
    torch.testing.assert_close(net.target_scaling.loc, known.double().mean(0))


def test_steps_of_weight_0_count_for_nothing():
    x, y = (torch.stack(part) for part in walks())
    weight = torch.ones(N, T)
    weight[:, 4:] = 0.0
    spoiled = y.clone()
    spoiled[:, 4:] = torch.nan
    one, other = make(), make()
    mm.fit(one, (x, spoiled, weight), max_epochs=2, random_state=0)
    spoiled[:, 4:] = -1e6
    mm.fit(other, (x, spoiled, weight), max_epochs=2, random_state=0)
    assert torch.equal(one(x).mean, other(x).mean)


def test_targets_that_are_missing_at_some_steps_are_taken_as_incomplete():
    x, y = (torch.stack(part) for part in walks())
    y[::3, 2] = torch.nan
    history = mm.fit(make(), (x, Incomplete.missing(y)), max_epochs=3, random_state=0)
    assert all(map(torch.isfinite, torch.tensor(history.validation_loss)))


def test_an_ensemble_is_told_what_its_components_do():
    x, y = walks(lengths())
    history = mm.fit(make(2), (pack(x), pack(y)), max_epochs=1, random_state=0)
    assert history.findings.train_score is not None
    assert history.findings.n_components == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda x, y: (pack(x), pack(y[::-1])),
            "y in data must be packed as x is, sequence by sequence; got other lengths. Pack both with the same "
            "lengths.",
        ),
        (
            lambda x, y: (torch.nn.utils.rnn.pad_sequence(x, batch_first=True), pack(y)),
            "y in data must be packed as x is, sequence by sequence; got other lengths. Pack both with the same "
            "lengths.",
        ),
        (
            lambda x, y: (pack(x), torch.zeros(N, T + 1, D)),
            "y must have shape (N, 6, D) to match x['steps']; got (60, 7, 1).",
        ),
        (
            lambda x, y: (torch.zeros(N, T, F), torch.zeros(N, T, D), torch.ones(N, T - 1)),
            "weight must have shape (60,) to weigh every row of y; got (60, 5).",
        ),
        (
            lambda x, y: (torch.zeros(N, T, F), torch.zeros(N, T, D + 1)),
            "y must have shape (N, T, 1) to match the head's target_dim=1; got (60, 6, 2).",
        ),
        (
            lambda x, y: (torch.zeros(N, T, F), torch.zeros(N, T - 1, D)),
            "y must have shape (N, 6, 1) for features at 6 steps of each row, as the backbone gives them; got "
            "(N, 5, 1).",
        ),
        (
            lambda x, y: (torch.zeros(N, T, F), torch.zeros(N, D)),
            "y must have shape (N, 6, 1) for features at 6 steps of each row, as the backbone gives them; got (N, 1).",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(change, sentence):
    x, y = walks(lengths())
    with pytest.raises(InputError) as caught:
        mm.fit(make(), change(x, y), max_epochs=1)
    assert str(caught.value) == sentence


def test_a_killed_fit_of_packed_sequences_is_read_again(tmp_path):
    x, y = walks(lengths())
    for net in (one := make(), again := make(seed=1)):
        mm.fit(net, (pack(x), pack(y)), max_epochs=2, random_state=0, checkpoint=tmp_path)
    assert torch.equal(again(pack(x)).mean, one(pack(x)).mean)
