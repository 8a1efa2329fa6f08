"""Some rows of a stream, for what cannot wait for all of them: scaling, initial locations, validation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.nn import MixtureDensityNetwork
from manymodes.nn.inputs import parts_of
from manymodes.training.rows.data import Rows, concatenated
from manymodes.training.rows.streams import Found, Stream, is_held_out


@dataclass(frozen=True, eq=False)
class Sample:
    """What a first pass over a stream found, split into what is learned from and what is held out.

    Attributes:
        found: What was found.
        train: Some of the rows to learn from, drawn at random.
        held_out: Those of the sample that are held out.
        share: Share of all rows that are held out.
    """

    found: Found
    train: Rows
    held_out: Rows
    share: float


def take_sample(stream: Stream, network: MixtureDensityNetwork | None = None, share: float = 0.0) -> Sample:
    """Return some rows of a stream, always the same ones, after a pass through it if nobody has made one.

    Args:
        stream: The stream.
        network: What its rows are checked for; None for nothing in particular.
        share: Share of the rows to hold out.

    Raises:
        ValueError: A block that does not fit the network or the blocks before, or too few rows.
    """
    found = look_through(stream, network)
    out = is_held_out(found.rows, share)
    train, held_out = (found.rows.take(part.nonzero().squeeze(-1)) for part in (~out, out))
    if not len(train) or (share and not len(held_out)):
        raise _checks.InputError(
            f"data must have more rows than {found.n_rows} for a validation share of {share:g}; hand in validation "
            "rows."
        )
    return Sample(found, train, held_out, share)


def look_through(stream: Stream, network: MixtureDensityNetwork | None = None) -> Found:
    """Go through a stream once, unless somebody has, and keep some of its rows: every row has the same chance."""
    if stream.found is not None:
        return stream.found
    reservoir = _Reservoir(stream.sample_rows)
    for number, rows in enumerate(stream.rows(network), start=1):
        reservoir.add(rows, number)
    return reservoir.found()


def look_through_parts(stream: Stream, share: float) -> tuple[Found, Found]:
    """Go through a stream once; return what is found of the rows that ``part`` holds out, and of the others.

    Raises:
        ValueError: As ``take_sample``; or no row in one of the parts.
    """
    held_out, rest = (_Reservoir(stream.sample_rows) for _ in range(2))
    others = stream.part(share, held_out=False)
    for number, rows in enumerate(stream.rows(), start=1):
        out = others.leaves_out(rows)
        for reservoir, chosen in ((held_out, out), (rest, ~out)):
            if bool(chosen.any()):
                reservoir.add(rows.take(chosen.nonzero().squeeze(-1)), number)
    if not held_out.n_rows or not rest.n_rows:
        raise _checks.InputError(
            f"data must have more rows to hold out a share of {share:g} of them by a hash of their values; got "
            f"{held_out.n_rows + rest.n_rows}. Add rows, or change the share."
        )
    return held_out.found(), rest.found()


class _Reservoir:
    """Some of all rows that come, so many at most: those with the smallest random keys.

    References:
        Vitter (1985), Random sampling with a reservoir, ACM Trans. Math. Softw. 11.
    """

    def __init__(self, most: int) -> None:
        self.n_rows = 0
        self._most, self._total_weight = most, 0.0
        self._generator = torch.Generator().manual_seed(0)
        self._kept: list[Rows] = []
        self._keys: list[Tensor] = []

    def add(self, rows: Rows, number: int) -> None:
        """Take some of these rows, perhaps, which are of the block of that number."""
        _refuse_another_kind(self._kept[0] if self._kept else rows, rows, f"block {number}")
        self.n_rows += len(rows)
        self._total_weight += len(rows) * (1.0 if rows.weight is None else float(rows.weight.mean()))
        self._kept.append(rows)
        self._keys.append(torch.rand(len(rows), generator=self._generator, dtype=torch.float64))
        if sum(map(len, self._keys[1:])) > self._most:
            self._settle()

    def found(self) -> Found:
        """Return what was found."""
        if not self.n_rows:
            raise _checks.InputError("data must have at least 1 row; its stream has none.")
        self._settle()
        return Found(self.n_rows, self._kept[0], self._total_weight / self.n_rows)

    def _settle(self) -> None:
        """Keep the rows with the smallest keys as one block."""
        keys = torch.cat(self._keys)
        chosen = keys.argsort()[: self._most]
        self._kept, self._keys = [concatenated(self._kept).take(chosen)], [keys[chosen]]


def _refuse_another_kind(first: Rows, rows: Rows, name: str) -> None:
    """Refuse a block whose inputs, targets or weights differ in kind from those of the first one."""
    own, known = parts_of(rows.x), parts_of(first.x)
    if own.keys() != known.keys():
        raise _checks.InputError(f"{name} must have the inputs {', '.join(known)} as before; got {', '.join(own)}.")
    for part, x in own.items():
        like = known[part]
        _checks.matches_shape(f"{part} in {name}", x.shape, ("N", *like.shape[1:]), "as in the blocks before")
        if x.dtype != like.dtype:
            raise _checks.InputError(f"{part} in {name} must be {like.dtype} as in the blocks before; got {x.dtype}.")
    _checks.matches_shape(f"y in {name}", rows.y.shape, ("N", *first.y.shape[1:]), "as in the blocks before")
    for what, is_there in (("weights", _has_weights), ("targets that are Incomplete", _is_incomplete)):
        if is_there(rows) != is_there(first):
            has, had = ("some", "none") if is_there(rows) else ("none", "some")
            raise _checks.InputError(
                f"{name} of data must have {what} where the blocks before have them; got {has}, and before {had}. Make "
                "all blocks alike."
            )


def _has_weights(rows: Rows) -> bool:
    return rows.weight is not None


def _is_incomplete(rows: Rows) -> bool:
    return isinstance(rows.y, Incomplete)
