import pytest
import torch

from manymodes.nn import MLP
from manymodes.nn.backbones import Dropout


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(400, 501)
    dropped = Dropout(0.25)(x)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])


def test_dropout_is_reproducible_from_the_global_seed_and_differs_from_call_to_call():
    x, dropout = torch.ones(30, 7), Dropout(0.5)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


def test_dropout_that_has_faded_and_in_evaluation_changes_nothing():
    x, dropout = torch.randn(5, 3), Dropout(0.5)
    assert torch.equal(dropout.eval()(x), x)
    dropout.train().fade(0.0)
    assert torch.equal(dropout(x), x)


def test_residual_layers_add_their_input_where_widths_agree():
    mlp = MLP(3, (8, 8, 5), residual=True)
    x = torch.randn(4, 3)
    first = mlp.layers[:2](x)
    expected = mlp.layers[4:](first + mlp.layers[2:4](first))
    torch.testing.assert_close(mlp(x), expected)
