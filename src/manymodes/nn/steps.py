"""Rows that are sequences of steps: where their features stand, which steps are real, and how they are packed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from manymodes import _checks
from manymodes.nn.inputs import Inputs

STEPS, LENGTHS = "steps", "lengths"  # names of the inputs of padded sequences


def feature_axis(backbone: nn.Module) -> int | None:
    """Return which axis of inputs of more than two axes holds features that are standardised; None for no such axis.

    A backbone says so by its attribute ``feature_axis``; of several modules in a row the first one does.
    """
    while isinstance(backbone, nn.Sequential) and len(backbone):
        backbone = backbone[0]
    axis: int | None = getattr(backbone, "feature_axis", None)
    return axis


def columns(x: Tensor, axis: int | None) -> Tensor | None:
    """Return the columns of inputs that are standardised, (rows, F); None where they stay as they are.

    Args:
        x: A table, (N, F), or an input of more axes, one of which holds features.
        axis: Which one that is; None where only tables are standardised.
    """
    if not x.is_floating_point() or x.dim() < 2:
        return None
    if x.dim() == 2:
        return x
    return None if axis is None else x.movedim(axis, -1).flatten(0, -2)


def has_lengths(x: Any) -> bool:
    """Return whether inputs are padded sequences with their lengths."""
    return isinstance(x, Mapping) and {STEPS, LENGTHS} <= x.keys()


def real_steps(x: Inputs) -> Tensor | None:
    """Return which steps of padded sequences are real, (N, T); None where inputs are no padded sequences.

    Raises:
        ValueError: Lengths that are no whole numbers from 1 to T, one for each sequence.
    """
    if not isinstance(x, Mapping) or not has_lengths(x):
        return None
    steps, lengths = x[STEPS], x[LENGTHS]
    for name, part in ((f"x[{STEPS!r}]", steps), (f"x[{LENGTHS!r}]", lengths)):
        _checks.instance(name, part, Tensor)
    _checks.matches_shape(f"x[{STEPS!r}]", steps.shape, ("N", "T", "F"), "as padded sequences")
    _checks.matches_shape(f"x[{LENGTHS!r}]", lengths.shape, (len(steps),), "one for each sequence")
    n_steps, longest = lengths.to(torch.float64), steps.shape[1]
    wrong = (n_steps < 1) | (n_steps > longest) | (n_steps != n_steps.round())
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise _checks.InputError(
            f"x[{LENGTHS!r}] must hold whole numbers from 1 to {longest}, the steps there are; got {lengths[row]:g} "
            f"first in {_checks.row(row)}."
        )
    return mask_of(steps, lengths)


def mask_of(steps: Tensor, lengths: Tensor) -> Tensor:
    """Return which steps, (..., N, T, F), are real, (..., N, T), by lengths (..., N)."""
    return torch.arange(steps.shape[-2], device=lengths.device) < lengths.unsqueeze(-1)


def with_lengths(x: Tensor) -> dict[str, Tensor]:
    """Return sequences of one length, (N, T, F), as padded ones."""
    return {STEPS: x, LENGTHS: torch.full((len(x),), x.shape[1], device=x.device)}


def unpacked(x: PackedSequence) -> tuple[Tensor, Tensor]:
    """Return padded sequences, (N, T, F), in their first order, and their lengths, (N,)."""
    steps, lengths = pad_packed_sequence(x, batch_first=True)
    return steps, lengths.to(steps.device)


def as_inputs(x: Any) -> Any:
    """Return inputs of a backbone: packed sequences become padded ones with their lengths."""
    if not isinstance(x, PackedSequence):
        return x
    steps, lengths = unpacked(x)
    return {STEPS: steps, LENGTHS: lengths}


def packed_places(x: PackedSequence) -> tuple[Tensor, Tensor]:
    """Return row and step of everything that is packed, in its order: indices into what is padded."""
    sizes = x.batch_sizes.to(x.data.device)
    n_rows = torch.arange(int(sizes[0]), device=sizes.device)
    step, place = (n_rows < sizes.unsqueeze(-1)).nonzero(as_tuple=True)
    row = place if x.sorted_indices is None else x.sorted_indices[place]
    return row, step


def check_steps(x: Tensor, in_features: int) -> None:
    """Refuse what is no batch of sequences.

    Raises:
        ValueError: Another shape than (N, T, in_features), or no step.
    """
    _checks.matches_shape("x", x.shape, ("N", "T", in_features), "as the backbone takes sequences")
    if x.shape[1] == 0:
        raise _checks.InputError("x must have at least 1 step; got 0.")
