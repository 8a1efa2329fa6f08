"""Precision, compilation and threads: rules that look at sizes, and steps that are the same whatever the means."""

import re
import shutil
from types import MethodType

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Laplace, Poisson, SphericalNormal
from manymodes.nn import MLP, Members, MixtureDensityNetwork, MixtureHead, TableEmbedding, TableScaling
from manymodes.objectives import mix, regularised
from manymodes.training import execution
from manymodes.training.checkpoint import Checkpoint
from manymodes.training.execution import Execution, Work, is_traced
from manymodes.training.gradients import Backward, _tracing, _with_code_of_its_own
from manymodes.training.optimizer import MemberAdamW
from manymodes.training.rows import sources
from manymodes.training.rows.data import Rows
from manymodes.training.step import Stepper
from manymodes.training.tensor_file import TensorFile

M, F = 2, 3
LONG = Work(n_rows=512, n_steps=10**6)
MIX = mix({"nll": 0.5, "crps": 0.5})


def network(width: int = 16, dropout: float = 0.0, seed: int = 0, n_members: int | None = M) -> MixtureDensityNetwork:
    torch.manual_seed(seed)
    embedding = TableEmbedding(F, n_members=n_members)
    mlp = MLP(embedding.out_features, (width, width), dropout=dropout, residual=True, n_members=n_members)
    head = MixtureHead(width, target_dim=1, n_components=2, n_members=n_members)
    return MixtureDensityNetwork(nn.Sequential(embedding, mlp), head, input_scaling=TableScaling())


def data(n: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, F, generator=generator)
    return x, x[:, :1].abs() + 0.1 * torch.randn(n, 1, generator=generator)


def fit(net, **settings):
    usual = {"max_epochs": 6, "batch_size": 32, "validation": data(50), "random_state": 0, "progress": False}
    return mm.fit(net, data(), **{**usual, **settings})


def chosen(net, objective=mm.objectives.nll, work=LONG, precision="full", compiled=False) -> Execution:
    return Execution.chosen(net, objective, work, precision=precision, compiled=compiled)


# --- rules ---


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_for_wide_layers_on_devices_that_have_instructions_for_it(native, monkeypatch):
    monkeypatch.setattr(execution, "is_native", lambda device: native)
    assert chosen(network(256), precision="auto").precision == ("bfloat16" if native else "full")
    assert chosen(network(64), precision="auto").precision == "full"
    assert chosen(network(64), precision="bfloat16").precision == "bfloat16"


def test_a_fit_is_compiled_where_it_is_long_enough_to_repay_it(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/g++")
    wide = network(256)
    assert chosen(wide, compiled="auto").compiled
    assert not chosen(wide, compiled="auto", work=Work(512, 1000)).compiled
    assert not chosen(wide, compiled="auto", work=Work(512, 10**6, has_time_limit=True)).compiled
    assert not chosen(wide, compiled="auto", work=Work(512, 10**6, is_exact=False)).compiled
    assert chosen(wide, compiled=True, work=Work(8, 1, has_time_limit=True)).compiled
    assert not chosen(wide, compiled=False).compiled
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not chosen(wide, compiled="auto").compiled


def test_where_nothing_can_be_compiled_a_wish_for_it_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    sentence = (
        "compile must be False here, since there is no C++ compiler 'no-such-compiler'; install one or name it in"
    )
    with pytest.raises(InputError, match=f"^{re.escape(sentence)} the variable CXX\\.$"):
        fit(network(), compile=True)
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    sentence = "compile must be False here, since torch is 2.9.1+cpu, and 2.13 is needed to trace gradients."
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        fit(network(), compile=True)


def test_only_what_is_known_to_compile_is_compiled_unasked():
    assert is_traced(network(), mm.objectives.nll)
    assert is_traced(network(), regularised(MIX, scale_prior=0.1))
    assert not is_traced(network(), mm.objectives.energy)
    assert not is_traced(network(), mix({"nll": 0.5, "energy": 0.5}))
    assert not is_traced(network(), lambda distribution, y, weight: mm.objectives.nll(distribution, y, weight))
    own = Members(nn.Sequential(nn.Linear(F, 4)), M)
    assert not is_traced(MixtureDensityNetwork(own, MixtureHead(4, target_dim=1, n_components=2, n_members=M)), MIX)
    counts = MixtureHead(4, target_dim=1, n_components=2, family=Poisson)
    assert not is_traced(MixtureDensityNetwork(nn.Linear(F, 4), counts), mm.objectives.nll)
    hooked = network()
    hooked.backbone.register_forward_hook(lambda module, arguments, features: None)
    assert not is_traced(hooked, mm.objectives.nll)
    recurrent = MixtureDensityNetwork(nn.LSTM(F, 4), MixtureHead(4, target_dim=1, n_components=2))
    assert not is_traced(recurrent, mm.objectives.nll)


def test_plain_networks_work_with_as_many_threads_as_they_keep_busy_and_others_with_all(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    small = Work(64, 1000)
    assert chosen(network(16), work=small).n_threads == 1
    assert chosen(network(512), work=LONG).n_threads == 2
    images = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.LazyLinear(4))
    images(torch.zeros(1, 1, 16, 16))
    assert (
        chosen(MixtureDensityNetwork(images, MixtureHead(4, target_dim=1, n_components=2)), work=small).n_threads == 2
    )


def test_a_fit_gives_back_the_threads_that_there_were_also_where_it_fails(monkeypatch):
    before, seen = torch.get_num_threads(), []
    monkeypatch.setattr(execution, "_threads", lambda network, work: before + 1)

    def nll(distribution, y, weight):
        seen.append(torch.get_num_threads())
        if len(seen) > 10:
            raise SystemExit
        return mm.objectives.nll(distribution, y, weight)

    with pytest.raises(SystemExit):
        fit(network(), objective=nll)
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"precision": "half"}, "precision must be one of 'auto', 'bfloat16', 'full', 'tf32'; got 'half'."),
        ({"precision": "tf32"}, "precision must be 'full' or 'bfloat16' on a cpu; got 'tf32'."),
        ({"compile": "always"}, "compile must be True, False or 'auto'; got 'always'."),
        ({"compile": 1}, "compile must be True, False or 'auto'; got 1."),
    ],
)
def test_other_means_are_refused(settings, sentence):
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        fit(network(), **settings)


# --- steps ---


def test_bfloat16_products_learn_as_well_and_leave_likelihoods_and_validation_alone():
    seen = []

    def note(module, arguments, features):
        seen.append((module.training, features.dtype))

    def single(distribution, y, weight):
        assert distribution.logits.dtype == y.dtype == torch.float32
        return mm.objectives.nll(distribution, y, weight)

    losses = {}
    for name, dtype in (("full", torch.float32), ("bfloat16", torch.bfloat16)):
        net = network(64)
        net.backbone[1].layers[0].register_forward_hook(note)
        losses[name] = fit(net, precision=name, objective=single, max_epochs=60, lr=1e-2)
        assert set(seen) == {(True, dtype), (False, torch.float32)}
        seen.clear()
    assert losses["bfloat16"].best_validation_loss < losses["full"].best_validation_loss + 0.15


def test_compiled_steps_are_the_steps_that_are_not_compiled():
    for seed in (0, 1):  # the second network has the sizes of the first, and weights of its own
        nets = [network(dropout=0.2, seed=seed) for _ in range(2)]
        histories = [fit(nets[compiles], objective=MIX, compile=compiles, batch_size=50) for compiles in (False, True)]
        for one, other in zip(*(net.state_dict().values() for net in nets), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        assert histories[0].validation_loss == pytest.approx(histories[1].validation_loss, abs=1e-4)


def test_a_compiled_fit_that_was_killed_goes_on_bit_for_bit(tmp_path):
    settings = {"compile": True, "batch_size": 50, "objective": MIX}
    through, killed = network(dropout=0.2), network(dropout=0.2)
    fit(through, **settings)

    def kill(history):
        if history.n_epochs == 3:
            raise SystemExit

    with pytest.raises(SystemExit):
        fit(killed, **settings, checkpoint=Checkpoint(tmp_path, epochs=1), callbacks=[kill])
    resumed = network(dropout=0.2, seed=7)
    fit(resumed, **settings, checkpoint=Checkpoint(tmp_path, epochs=1))
    for one, other in zip(through.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def traceable():
    for family in execution._TRACED_FAMILIES:
        yield family, mm.objectives.nll
    for family in (DiagonalNormal, SphericalNormal):
        yield family, regularised(MIX, scale_prior=0.1, weight_entropy=0.1)
        yield family, mm.objectives.ngem


@pytest.mark.parametrize(("family", "objective"), list(traceable()))
def test_what_is_compiled_unasked_is_traced_whole(family, objective):
    embedding = TableEmbedding(F, categories={2: 3}, n_members=M)
    mlp = MLP(embedding.out_features, (8, 8), dropout=0.2, residual=True, n_members=M)
    head = MixtureHead(8, target_dim=2, n_components=2, family=family, n_members=M)
    net = MixtureDensityNetwork(nn.Sequential(embedding, mlp), head)
    assert is_traced(net, objective)
    backward = Backward(net, objective, list(net.parameters()), Execution())
    generator = torch.Generator().manual_seed(0)
    x, y, weight = (torch.rand(M, 10, size, generator=generator) for size in (F, 2, 1))
    x[..., 2] = x[..., 2].mul(4).floor()  # levels, 0 among them
    rows = (x, y, weight[..., 0], None)
    with _tracing():
        own = MethodType(_with_code_of_its_own(Backward._pass), backward)
        traced = torch.compile(own, backend="eager", fullgraph=True, dynamic=False)
        torch.manual_seed(0)
        losses, gradients = traced(*rows)
    torch.manual_seed(0)
    expected, slopes = backward(Rows(*rows))
    torch.testing.assert_close(losses, expected)
    for gradient, slope in zip(gradients, slopes, strict=True):
        torch.testing.assert_close(gradient, slope)


def test_two_shares_of_dropout_fade_out_one_after_the_other_in_compiled_steps_too():
    nets = [network(dropout=0.3) for _ in range(2)]
    for compiles in (False, True):
        nets[compiles].backbone[1].layers[2].share = 0.01  # the first layer's
        fit(nets[compiles], compile=compiles, batch_size=50)
    for one, other in zip(*(net.state_dict().values() for net in nets), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_compiled_fit_takes_as_many_steps_of_one_size(streamed, monkeypatch):
    x, y = data(1023)
    sizes = {False: [], True: []}
    monkeypatch.setattr(sources, "_LONGEST_EPOCH", 2)
    monkeypatch.setattr(Backward, "_by_compiled_code", Backward._as_it_is)
    step = Stepper.step

    def note(self, batch):
        sizes[compiles].append(batch.y.shape[-2])
        return step(self, batch)

    monkeypatch.setattr(Stepper, "step", note)
    for compiles in (False, True):
        rows = list(zip(x.split(100), y.split(100), strict=True)) if streamed else (x, y)
        settings = {"validation": data(50), "batch_size": 500, "max_epochs": 4, "compile": compiles}
        mm.fit(network(), rows, random_state=0, progress=False, **settings)
    assert len(sizes[True]) == len(sizes[False]) == 12
    assert set(sizes[True]) == ({500} if streamed else {341})


def test_a_step_that_is_not_compiled_leaves_backbones_their_ways():
    class Frugal(nn.Linear):
        def forward(self, x):
            return checkpoint(super().forward, x.requires_grad_(), use_reentrant=True)

    net = MixtureDensityNetwork(Frugal(F, 4), MixtureHead(4, target_dim=1, n_components=2))
    net.initialise(*data(), torch.Generator())
    fit(net)


class _NoLooks(TorchDispatchMode):
    """Refuses what waits for a device: to read a number, or to ask how many there are."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket not in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.is_nonzero,
            torch.ops.aten.equal,
        ), f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


def often_infinite(distribution, y, weight):
    """Return a loss that is infinite for every member whose batch begins with a low target, while training."""
    loss = mm.objectives.nll(distribution, y, weight)
    return loss / (y[..., 0, 0] > -0.5) if loss.requires_grad else loss


def test_on_a_device_no_step_waits_and_all_end_with_the_weights_of_a_cpu(monkeypatch):
    x, y = data(120)
    settings = {"objective": often_infinite, "clip_norm": 0.05, "batch_size": 20, "max_epochs": 3}
    usual, as_on_a_device = network(dropout=0.1), network(dropout=0.1)
    told = mm.fit(usual, (x, y), validation=data(30), random_state=0, progress=False, **settings)
    assert 3 < told.skipped_batches < 30
    init, step = MemberAdamW.__init__, Stepper.step

    def blind(self, *arguments, **options):
        init(self, *arguments, **options)
        self._looks = False

    def watched(self, batch):
        with _NoLooks():
            return step(self, batch)

    monkeypatch.setattr(MemberAdamW, "__init__", blind)
    monkeypatch.setattr(Stepper, "step", watched)
    history = mm.fit(as_on_a_device, (x, y), validation=data(30), random_state=0, progress=False, **settings)
    assert history.skipped_batches == told.skipped_batches
    for one, other in zip(usual.state_dict().values(), as_on_a_device.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_look_is_noticed():
    with _NoLooks(), pytest.raises(AssertionError, match="waits for the device"):
        bool(torch.ones(3).any())


# --- checkpoints ---


def test_a_fit_that_goes_on_takes_the_means_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "is_native", lambda device: True)
    seen = []

    def nll(distribution, y, weight=None):
        seen.append(1)
        if len(seen) == stop:
            raise SystemExit
        return mm.objectives.nll(distribution, y, weight)

    settings = {"objective": nll, "precision": "auto", "max_epochs": 12}
    stop, through = -1, network(128)
    fit(through, **settings)
    stop, net = 40, network(128)
    seen.clear()
    with pytest.raises(SystemExit):
        fit(net, **settings, checkpoint=Checkpoint(tmp_path, seconds=1e-9))
    written = TensorFile("manymodes_checkpoint", 1, "manymodes checkpoint").read(tmp_path / "fit.checkpoint")[1]
    assert written["execution"] == {"precision": "bfloat16", "compiled": False, "n_threads": 1}
    monkeypatch.setattr(execution, "is_native", lambda device: False)  # another machine: its rule says "full"
    stop = -1
    fit(net, **settings, checkpoint=Checkpoint(tmp_path))
    for one, other in zip(through.state_dict().values(), net.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_crps_of_other_than_normal_components_is_not_compiled():
    net = MixtureDensityNetwork(nn.Linear(F, 4), MixtureHead(4, target_dim=1, n_components=2, family=Laplace))
    assert is_traced(net, mm.objectives.nll)
    assert not is_traced(net, MIX)
    with pytest.raises(InputError, match=r"^compile must be False with 'crps', unless components are normal\.$"):
        chosen(net, MIX, compiled=True)
