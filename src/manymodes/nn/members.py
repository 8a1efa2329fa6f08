"""Members of an ensemble side by side in one module: every parameter carries a leading member axis, (M, ...)."""

from __future__ import annotations

import copy
import math
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from manymodes import _checks
from manymodes.nn.inputs import Inputs, mapped
from manymodes.nn.steps import feature_axis

_NOT_MAPPED = (nn.RNNBase, nn.MultiheadAttention)


class MemberLinear(nn.Module):
    """M linear maps in one batched product, (M, N, in_features) -> (M, N, out_features).

    Each starts as ``nn.Linear`` does, from numbers of its own.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        n_members: Number of maps, M.
    """

    def __init__(self, in_features: int, out_features: int, n_members: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.empty(n_members, in_features, out_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_members, out_features).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Return every member's map of its own rows, which may have further axes, (M, ..., in_features)."""
        rows = torch.baddbmm(self.bias.unsqueeze(-2), rows_of_members(x), self.weight)
        return rows.reshape(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Return the sizes, as ``nn.Linear`` does."""
        return f"n_members={len(self.weight)}, in_features={self.in_features}, out_features={self.out_features}"


def rows_of_members(x: Tensor) -> Tensor:
    """Return what each member has, (M, ..., F), as its rows, (M, N, F)."""
    return x.flatten(1, -2) if x.dim() > 2 else x.unsqueeze(1)


def linear(in_features: int, out_features: int, n_members: int | None) -> nn.Linear | MemberLinear:
    """Return one linear layer, or those of M members."""
    if n_members is None:
        return nn.Linear(in_features, out_features)
    return MemberLinear(in_features, out_features, n_members)


class Members(nn.Module):
    """M copies of any module, run side by side, (M, N, ...) -> (M, N, out).

    The copies start alike, as a pre-trained module must; what differs between the members of a network is the head,
    the rows and their order. Dropout is drawn for each of them. Recurrent layers and attention, which
    ``torch.func.vmap`` refuses or slows down, run one member after another.

    Args:
        module: A module without running statistics.
        n_members: Number of copies, M.

    Raises:
        TypeError: Something that is no module.
        ValueError: Fewer than one copy, or a module with running statistics, say batch normalisation.
    """

    def __init__(self, module: nn.Module, n_members: int) -> None:
        super().__init__()
        _checks.instance("module", module, nn.Module)
        self.n_members = _checks.integer_at_least("n_members", n_members, 1)
        if any(buffer.is_floating_point() for buffer in module.buffers()):
            raise _checks.InputError(
                "a backbone with running statistics, say batch normalisation, cannot have members; set n_members=1 or "
                "take layer normalisation."
            )
        parameters, buffers = stack_module_state([copy.deepcopy(module) for _ in range(self.n_members)])
        frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
        self._names = {name.replace(".", "/"): name for name in (*parameters, *buffers)}
        for name, value in parameters.items():
            stacked = nn.Parameter(value.detach().clone(), requires_grad=name not in frozen)
            self.register_parameter(name.replace(".", "/"), stacked)
        saved = module.state_dict()
        for name, value in buffers.items():
            self.register_buffer(name.replace(".", "/"), value, persistent=name in saved)
        self._template = [copy.deepcopy(module).to("meta")]  # in a list: its parameters are not this module's
        self._in_turn = any(isinstance(part, _NOT_MAPPED) for part in module.modules())
        self.feature_axis = feature_axis(module)

    def forward(self, x: Inputs) -> Tensor:
        """Return what every member makes of its own rows, (M, N, ...)."""
        template = self._template[0].train(self.training)
        state = {self._names[name]: value for name, value in (*self.named_parameters(), *self.named_buffers())}

        def one(values: dict[str, Tensor], rows: Inputs) -> Any:
            return functional_call(template, values, (rows,))

        if self._in_turn:
            each = range(self.n_members)
            return torch.stack(
                [one({name: value[m] for name, value in state.items()}, mapped(x, itemgetter(m))) for m in each]
            )
        features: Tensor = vmap(one, randomness="different")(state, x)
        return features
