"""What only a GPU can show; skipped where there is none."""

import pytest
import torch

import manymodes as mm
from manymodes.nn import MixtureHead
from manymodes.training.step import Stepper

from .test_execution import MIX, data, fit, network

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def on_gpu(**settings):
    net = network(64, **settings).cuda()
    return net, tuple(part.cuda() for part in data())


@pytest.mark.parametrize("compiles", [False, True])
def test_a_gpu_learns_what_a_cpu_learns(compiles):
    settings = {"objective": MIX, "max_epochs": 30, "lr": 1e-2}
    on_cpu, on_device = network(64), network(64).cuda()
    losses = [fit(on_cpu, **settings), fit(on_device, compile=compiles, **settings)]
    assert losses[1].best_validation_loss == pytest.approx(losses[0].best_validation_loss, abs=0.1)


def test_compiled_steps_on_a_gpu_are_those_that_are_not_compiled():
    nets = [network(64).cuda() for _ in range(2)]
    for compiles in (False, True):
        fit(nets[compiles], objective=MIX, batch_size=50, compile=compiles)
    for one, other in zip(*(net.state_dict().values() for net in nets), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("compiles", [False, True])
def test_no_step_waits_for_a_gpu(compiles, monkeypatch):
    net, (x, y) = on_gpu(dropout=0.1)
    step, n_steps = Stepper.step, []

    def watched(self, batch):
        n_steps.append(1)
        torch.cuda.set_sync_debug_mode("error" if len(n_steps) > 10 else "default")  # compiled, and captured, by then
        try:
            return step(self, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Stepper, "step", watched)
    settings = {"validation": (x[:50], y[:50]), "batch_size": 50, "max_epochs": 10, "fade_dropout": False}
    mm.fit(net, (x, y), compile=compiles, progress=False, **settings)
    assert len(n_steps) == 40


def test_lower_precision_on_a_gpu_learns_as_well(monkeypatch):
    losses, seen = {}, set()
    forward = MixtureHead.forward
    switch = torch.backends.cuda.matmul

    def note(self, *arguments):
        seen.add((self.training, switch.fp32_precision, torch.is_autocast_enabled("cuda")))
        return forward(self, *arguments)

    monkeypatch.setattr(MixtureHead, "forward", note)
    usual = switch.fp32_precision
    for precision in ("full", "tf32", "bfloat16"):
        losses[precision] = fit(network(64).cuda(), precision=precision, max_epochs=40, lr=1e-2).best_validation_loss
        expected = ("tf32" if precision == "tf32" else usual, precision == "bfloat16")
        assert seen == {(True, *expected), (False, usual, False)}
        seen.clear()
    assert max(losses.values()) < losses["full"] + 0.15


def test_a_fit_on_a_gpu_is_reproducible_and_leaves_the_global_generators():
    before = torch.cuda.get_rng_state()
    nets = [network(64, dropout=0.1).cuda() for _ in range(2)]
    for net in nets:
        fit(net)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    for one, other in zip(*(net.state_dict().values() for net in nets), strict=True):
        assert torch.equal(one, other)


def test_the_estimator_fits_on_a_gpu_and_predicts_on_the_cpu():
    X, y = data()
    model = mm.MDNRegressor(preset="fast", device="cuda", random_state=0).fit(X.numpy(), y[:, 0].numpy())
    assert model.predict_distribution(X.numpy()).logits.device.type == "cpu"
