"""The network of a default model as a page carries it: a plan of its layers, and its numbers in base64.

Numbers are kept exactly where they fit into the page. Where they do not, the matrices of the hidden layers, which hold
nearly all of them, are rounded to whole numbers of a few bits, with a scale for every row; the page says so, and how
much the log-density of held-out rows changes by it. A network that was rounded so beforehand is kept exactly.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from manymodes.distributions import constraints
from manymodes.estimators.portable.components import learned_parameters
from manymodes.nn import MLP, MixtureDensityNetwork, MixtureHead, TableEmbedding, TableScaling
from manymodes.nn.links import LINKS
from manymodes.nn.members import MemberLinear
from manymodes.pages.living.packed import Packed, rounded

MOST_BYTES = 2_000_000  # of numbers in a page: a third more in base64
FEWEST_BITS = 7  # with which the log-density of a row changes by some 0.003

_LINK_NAMES = {
    constraints.real: "real",
    constraints.scale: "scale",
    constraints.rate: "rate",
    constraints.concentration: "concentration",
    constraints.degrees_of_freedom: "degrees_of_freedom",
    constraints.scale_tril: "scale_tril",
}


@dataclass(frozen=True)
class PageNetwork:
    """A network that a page can run.

    Attributes:
        plan: Its layers, the encoding of its inputs and the meaning of its outputs, as JSON can hold it.
        tensors: Where each tensor is among the bytes.
        base64: The bytes.
        bits: Bits of each number of the hidden layers; None where they are kept in full.
        is_exact: Whether all numbers are those of the network.
    """

    plan: dict[str, Any]
    tensors: dict[str, dict[str, Any]] = field(repr=False)
    base64: str = field(repr=False)
    bits: int | None
    is_exact: bool


def page_network(network: MixtureDensityNetwork, most_bytes: int = MOST_BYTES) -> PageNetwork | None:
    """Return a fitted network for a page; None where it is none of the default backbone, or too large.

    Args:
        network: A network of an ``MDNRegressor``.
        most_bytes: Bytes that its numbers may take.
    """
    if not _is_known(network):
        return None
    bits = _bits_of_room(network, most_bytes)
    if bits is not None and bits < FEWEST_BITS:
        return None
    own = None if bits is None else _bits_it_has(network, bits)
    packed = _small_part(network)
    for i, layer in enumerate(hidden_layers(network)):
        name = f"layer{i}.weight"
        packed.add(name, layer.weight) if bits is None else packed.add_rounded(name, layer.weight, own or bits)
    is_exact = bits is None or own is not None
    return PageNetwork(_plan(network), packed.entries, packed.base64(), own or bits, is_exact)


def bits_in_page(network: MixtureDensityNetwork, most_bytes: int = MOST_BYTES) -> int | None:
    """Return the bits to which a page has to round the numbers of the hidden layers; None where it need not or cannot.

    See ``page_network``.
    """
    bits = _bits_of_room(network, most_bytes) if _is_known(network) else None
    return None if bits is None or bits < FEWEST_BITS else bits


def rounded_network(network: MixtureDensityNetwork, bits: int) -> MixtureDensityNetwork:
    """Return a copy of a network as the page runs it, its hidden layers rounded."""
    copied = copy.deepcopy(network)
    for layer in hidden_layers(copied):
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(rounded(layer.weight, bits)))
    return copied


def hidden_layers(network: MixtureDensityNetwork) -> list[MemberLinear]:
    """Return the linear maps of the hidden layers, in their order."""
    return [layer for layer in _mlp(network).layers if isinstance(layer, MemberLinear)]


def _is_known(network: MixtureDensityNetwork) -> bool:
    backbone = network.backbone
    return (
        isinstance(backbone, nn.Sequential)
        and [type(part) for part in backbone] == [TableEmbedding, MLP]
        and isinstance(network.input_scaling, TableScaling)
        and isinstance(network.head, MixtureHead)
        and network.retrieval is None
        and network.n_members is not None
    )


def _mlp(network: MixtureDensityNetwork) -> MLP:
    return cast(MLP, cast(nn.Sequential, network.backbone)[1])


def _embedding(network: MixtureDensityNetwork) -> TableEmbedding:
    return cast(TableEmbedding, cast(nn.Sequential, network.backbone)[0])


def _small_part(network: MixtureDensityNetwork) -> Packed:
    """Return all numbers but the matrices of the hidden layers, exactly."""
    packed = Packed()
    for name, tensor in _small_tensors(network).items():
        packed.add(name, tensor)
    return packed


def _small_tensors(network: MixtureDensityNetwork) -> dict[str, Tensor]:
    scaling, embedding = cast(TableScaling, network.input_scaling), _embedding(network)
    tensors = {"loc": scaling.numbers.loc, "scale": scaling.numbers.scale, "levels": scaling.levels}
    if embedding.numbers is not None:
        numbers = embedding.numbers
        tensors |= {
            "frequencies": numbers.frequencies,
            "waves": numbers.weight,
            "wave_bias": numbers.bias,
            "low": numbers.low,
            "high": numbers.high,
        }
    if embedding.levels is not None:
        tensors |= {f"table{i}": table for i, table in enumerate(embedding.levels.tables)}
    tensors |= {f"layer{i}.bias": layer.bias for i, layer in enumerate(hidden_layers(network))}
    return tensors | {"head.weight": network.head.linear.weight, "head.bias": network.head.linear.bias}


def _plan(network: MixtureDensityNetwork) -> dict[str, Any]:
    scaling, embedding, head = cast(TableScaling, network.input_scaling), _embedding(network), network.head
    return {
        "n_members": network.n_members,
        "reach": scaling.reach,
        "gaps": list(scaling.gaps),
        "categories": list(embedding.categorical),
        "numeric": list(embedding.numeric),
        "layers": [{"skips": skips} for skips in (False, *_mlp(network).skips)],
        "n_components": head.n_components,
        "slots": _slots(network),
    }


def _slots(network: MixtureDensityNetwork) -> list[dict[str, Any]]:
    """Return what raw outputs stand for, under the names that ``portable.components`` gives them."""
    width = len(cast(TableScaling, network.input_scaling).numbers.loc)
    with torch.no_grad():
        mixture = network.members(torch.zeros(1, width, dtype=torch.float64))
    names = learned_parameters(mixture.components)
    return [
        {
            "name": name,
            "link": _LINK_NAMES[slot.constraint],
            "n_components": slot.n_components,
            "shape": list(slot.shape),
            "raw_size": LINKS[slot.constraint].size(slot),
            "floor": floor,
        }
        for name, (slot, floor) in zip(names, cast(MixtureHead, network.head).slots(), strict=True)
    ]


# --- rounding ---


def _bits_of_room(network: MixtureDensityNetwork, most_bytes: int) -> int | None:
    """Return how many bits each number of the hidden layers may take; None where all fit exactly."""
    hidden = [layer.weight for layer in hidden_layers(network)]
    n_numbers = sum(weight.numel() for weight in hidden)
    room = most_bytes - len(_small_part(network))
    if 4 * n_numbers <= room:
        return None
    n_rows = sum(weight.numel() // weight.shape[-1] for weight in hidden)
    return int(8 * (room - 4 * n_rows) // n_numbers)


def _bits_it_has(network: MixtureDensityNetwork, most: int) -> int | None:
    """Return the bits to which the hidden layers were rounded beforehand; None for none, or for more than ``most``."""
    hidden = [layer.weight.detach().cpu() for layer in hidden_layers(network)]
    for bits in range(FEWEST_BITS, most + 1):
        if all(torch.equal(torch.from_numpy(rounded(weight, bits)).to(weight), weight) for weight in hidden):
            return bits
    return None
