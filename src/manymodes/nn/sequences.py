"""Backbones for sequences: recurrent, convolutional in time, or a causal Transformer.

Each maps steps (N, T, F) to features of the last one, (N, out_features), or with ``every_step`` to those of each,
(N, T, out_features), which see no later step: a head then gives a mixture at every step. Sequences of different lengths
come packed, or padded as a dict of ``"steps"``, (N, T, F), and ``"lengths"``, (N,).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from manymodes import _checks
from manymodes.nn.backbones import Dropout
from manymodes.nn.steps import LENGTHS, STEPS, as_inputs, check_steps, mask_of

_KINDS: Final[Mapping[str, type[nn.GRU] | type[nn.LSTM]]] = {"gru": nn.GRU, "lstm": nn.LSTM}
_LONGEST_WAVE = 10_000.0  # of the positions of a Transformer, in steps over 2 pi


class SequenceBackbone(nn.Module, ABC):
    """Maps steps to features of the last one or of each. Abstract.

    Args:
        in_features: Number of features of a step, F.
        out_features: Number of features that come out.
        every_step: Whether they come out at every step, or at the last real one only.
    """

    feature_axis = -1

    def __init__(self, in_features: int, out_features: int, *, every_step: bool) -> None:
        super().__init__()
        self.in_features = _checks.integer_at_least("in_features", in_features, 1)
        self.out_features = out_features
        self.every_step = _checks.boolean("every_step", every_step)

    def forward(self, x: Tensor | PackedSequence | Mapping[str, Tensor]) -> Tensor:
        """Return features, (N, out_features), or (N, T, out_features); those of padded steps mean nothing.

        Raises:
            ValueError: Other inputs than the description says, or lengths outside 1 to T.
        """
        steps, lengths = self._opened(as_inputs(x))
        features = self.features(steps, lengths)
        if self.every_step:
            return features
        if lengths is None:
            return features[:, -1]
        last = (lengths - 1).reshape(-1, 1, 1).expand(-1, 1, self.out_features)
        return features.gather(1, last).squeeze(1)

    @abstractmethod
    def features(self, steps: Tensor, lengths: Tensor | None) -> Tensor:
        """Return features of every step, (N, T, out_features), each of which sees no later step.

        Args:
            steps: Features of the steps, (N, T, F).
            lengths: Number of real steps in each sequence, (N,); None for T.
        """

    def _opened(self, x: Any) -> tuple[Tensor, Tensor | None]:
        if not isinstance(x, Mapping):
            check_steps(x, self.in_features)
            return x, None
        if x.keys() != {STEPS, LENGTHS}:
            raise _checks.InputError(f"x must hold 'steps' and 'lengths' of sequences; got {_checks.quoted(x)}.")
        steps, lengths = x[STEPS], x[LENGTHS]
        check_steps(steps, self.in_features)
        _checks.matches_shape("lengths", lengths.shape, (len(steps),), "one for each sequence")
        padded = ~mask_of(steps, lengths)
        return steps.masked_fill(padded.unsqueeze(-1), 0.0), lengths.long()  # attention would mix NaN in


@final
class Recurrent(SequenceBackbone):
    """A gated recurrent unit or long short-term memory, (N, T, in_features) -> (N, [T,] hidden_features).

    Packed or padded sequences cost no more than their real steps.

    Args:
        in_features: Number of features of a step, F.
        hidden_features: Width of the state of every layer; that of the last one comes out.
        kind: ``"gru"`` or ``"lstm"``.
        n_layers: Number of layers.
        dropout: Share of the numbers between layers that is left out at random while training.
        every_step: Whether features come out at every step.

    Raises:
        ValueError: Another kind, a size below 1, or dropout outside [0, 1).

    References:
        Hochreiter and Schmidhuber (1997), Long short-term memory; Cho et al. (2014), Learning phrase representations
        using RNN encoder-decoder for statistical machine translation.

    Example:
        >>> Recurrent(3, 16, every_step=True)(torch.zeros(4, 7, 3)).shape
        torch.Size([4, 7, 16])
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int = 128,
        *,
        kind: str = "gru",
        n_layers: int = 1,
        dropout: float = 0.0,
        every_step: bool = False,
    ) -> None:
        hidden_features = _checks.integer_at_least("hidden_features", hidden_features, 1)
        super().__init__(in_features, hidden_features, every_step=every_step)
        layers = _checks.one_of("kind", kind, _KINDS)
        n_layers = _checks.integer_at_least("n_layers", n_layers, 1)
        dropout = _checks.number_between("dropout", dropout, 0.0, 1.0, including=(0.0,))
        between = dropout if n_layers > 1 else 0.0  # torch warns of dropout where there is nothing between layers
        self.layers = layers(self.in_features, hidden_features, n_layers, batch_first=True, dropout=between)
        self.last_dropout = Dropout.of(dropout)

    def features(self, steps: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the states of the last layer, (N, T, hidden_features)."""
        if lengths is None:
            states: Tensor = self.layers(steps)[0]
        else:
            packed = pack_padded_sequence(steps, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.layers(packed)[0], batch_first=True, total_length=steps.shape[1])
        dropped: Tensor = self.last_dropout(states)
        return dropped


@final
class TemporalConvolution(SequenceBackbone):
    """Causal convolutions whose reach doubles from layer to layer, (N, T, in_features) -> (N, [T,] hidden_features).

    A step sees itself and ``reach - 1`` steps before it. All steps are worked out side by side.

    Args:
        in_features: Number of features of a step, F.
        hidden_features: Width of every layer.
        n_layers: Number of layers; layer i has gaps of 2^i steps.
        kernel_size: Steps that one layer looks at.
        dropout: Share of numbers that each layer leaves out at random while training.
        every_step: Whether features come out at every step.

    Attributes:
        reach: Steps that a feature depends on, 1 + (kernel_size - 1) (2^n_layers - 1).

    Raises:
        ValueError: A size below 1, or dropout outside [0, 1).

    References:
        Bai, Kolter and Koltun (2018), An empirical evaluation of generic convolutional and recurrent networks for
        sequence modeling, arXiv 1803.01271; here with layer normalisation before each layer.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int = 64,
        *,
        n_layers: int = 5,
        kernel_size: int = 3,
        dropout: float = 0.0,
        every_step: bool = False,
    ) -> None:
        hidden_features = _checks.integer_at_least("hidden_features", hidden_features, 1)
        super().__init__(in_features, hidden_features, every_step=every_step)
        n_layers = _checks.integer_at_least("n_layers", n_layers, 1)
        kernel_size = _checks.integer_at_least("kernel_size", kernel_size, 1)
        dropout = _checks.number_between("dropout", dropout, 0.0, 1.0, including=(0.0,))
        self._before = kernel_size - 1  # steps that a layer without gaps looks back
        self.reach = 1 + self._before * (2**n_layers - 1)
        self.entry = nn.Linear(self.in_features, hidden_features)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_features) for _ in range(n_layers))
        self.layers = nn.ModuleList(
            nn.Conv1d(hidden_features, hidden_features, kernel_size, dilation=2**layer) for layer in range(n_layers)
        )
        self.dropout = Dropout.of(dropout)

    def features(self, steps: Tensor, lengths: Tensor | None) -> Tensor:
        """Return what the last layer makes of each step and those before, (N, T, hidden_features)."""
        hidden: Tensor = self.entry(steps)
        for number, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            before = self._before * 2**number
            seen = F.pad(F.silu(norm(hidden)).transpose(1, 2), (before, 0))
            hidden = hidden + self.dropout(layer(seen).transpose(1, 2))
        return hidden


@final
class CausalTransformer(SequenceBackbone):
    """A Transformer each of whose steps attends to itself and to those before, (N, T, F) -> (N, [T,] hidden_features).

    Positions are told by sine and cosine waves, added to the steps.

    Args:
        in_features: Number of features of a step, F.
        hidden_features: Width of every layer, an even number.
        n_layers: Number of layers.
        n_heads: Number of attention heads, a divisor of the width.
        dropout: Share of numbers that each layer leaves out at random while training.
        every_step: Whether features come out at every step.

    Raises:
        ValueError: A size below 1 or that does not fit, or dropout outside [0, 1).

    References:
        Vaswani et al. (2017), Attention is all you need; with normalisation before each layer, Xiong et al. (2020), On
        layer normalization in the Transformer architecture.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int = 64,
        *,
        n_layers: int = 2,
        n_heads: int = 4,
        dropout: float = 0.0,
        every_step: bool = False,
    ) -> None:
        hidden_features = _checks.integer_at_least("hidden_features", hidden_features, 2)
        super().__init__(in_features, hidden_features, every_step=every_step)
        n_layers = _checks.integer_at_least("n_layers", n_layers, 1)
        n_heads = _checks.integer_at_least("n_heads", n_heads, 1)
        if hidden_features % math.lcm(2, n_heads):
            raise _checks.InputError(
                f"hidden_features must be even and a multiple of n_heads={n_heads}; got {hidden_features}."
            )
        dropout = _checks.number_between("dropout", dropout, 0.0, 1.0, including=(0.0,))
        self.entry = nn.Linear(self.in_features, hidden_features)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                hidden_features,
                n_heads,
                4 * hidden_features,
                dropout,
                activation=F.gelu,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(hidden_features)

    def features(self, steps: Tensor, lengths: Tensor | None) -> Tensor:
        """Return what the last layer makes of each step and those before, (N, T, hidden_features)."""
        n_steps = steps.shape[1]
        hidden: Tensor = self.entry(steps) + _positions(n_steps, self.out_features, steps)
        later = torch.ones(n_steps, n_steps, dtype=torch.bool, device=steps.device).triu(1)
        for layer in self.layers:
            hidden = layer(hidden, src_mask=later)
        normed: Tensor = self.norm(hidden)
        return normed


def _positions(n_steps: int, width: int, like: Tensor) -> Tensor:
    """Return sine and cosine waves of geometric lengths at every step, (T, width)."""
    rates = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(_LONGEST_WAVE) / width))
    angle = torch.arange(n_steps, device=like.device).unsqueeze(-1) * rates
    return torch.cat([angle.sin(), angle.cos()], -1).to(like.dtype)
