import pytest
import torch

from manymodes.training.randomness import isolated


def test_isolated_randomness_is_reproducible_and_leaves_no_trace():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with isolated(7) as generator:
            draws.append((torch.rand(2).tolist(), torch.rand(2, generator=generator).tolist()))
    assert draws[0] == draws[1]
    assert draws[0][0] != draws[0][1]
    assert torch.equal(torch.get_rng_state(), before)


def test_no_seed_means_a_fresh_one():
    with isolated(None) as first, isolated(None) as second:
        assert torch.rand(3, generator=first).tolist() != torch.rand(3, generator=second).tolist()


def test_a_seed_reaches_no_generator_but_the_cpus(monkeypatch):
    monkeypatch.setattr("torch.manual_seed", lambda seed: pytest.fail("torch.manual_seed reseeds every GPU"))
    with isolated(7):
        pass
