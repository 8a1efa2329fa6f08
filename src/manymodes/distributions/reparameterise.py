r"""Samples with gradients, through the weights of a mixture too: implicit reparameterisation.

The Rosenblatt transform :math:`z_d = F(y_d | y_1 \dots y_{d-1})` maps a sample to independent uniforms whose law does
not depend on the parameters. Differentiating :math:`z(y(\theta), \theta) = const` gives

.. math:: \frac{dy}{d\theta} = -\left(\frac{\partial z}{\partial y}\right)^{-1} \frac{\partial z}{\partial \theta}

with a lower triangular Jacobian. For a mixture the conditional cdf is the average of the components' ones under the
responsibilities of the dimensions before.

References:
    Figurnov, Mohamed and Mnih (2018), Implicit reparameterization gradients, NeurIPS, section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes.distributions.component import Component


def with_gradient(logits: Tensor, components: Component, sample: Tensor) -> Tensor:
    """Return the same samples, (S..., N, D), with gradients in weights and components.

    Args:
        logits: Log-weights, (N, K).
        components: Continuous components, ``batch_shape`` (N, K).
        sample: Samples of that mixture, (S..., N, D).
    """
    if not torch.is_grad_enabled():
        return sample
    y = sample.detach().requires_grad_()
    z = _rosenblatt(logits, components, y)  # (S..., N, D)
    rows = [torch.autograd.grad(z[..., d].sum(), y, retain_graph=True)[0] for d in range(y.shape[-1])]
    jacobian = torch.stack(rows, -2).tril()
    tiny = torch.finfo(y.dtype).tiny
    diagonal = jacobian.diagonal(dim1=-2, dim2=-1).clamp_min(tiny)
    jacobian = jacobian.tril(-1) + torch.diag_embed(diagonal)
    change = torch.linalg.solve_triangular(jacobian.detach(), (z - z.detach()).unsqueeze(-1), upper=False)
    moved: Tensor = sample.detach() - change.squeeze(-1)
    return moved


def _rosenblatt(logits: Tensor, components: Component, y: Tensor) -> Tensor:
    log_density, level = components.rosenblatt(y.unsqueeze(-2))  # (S..., N, K, D)
    before = torch.nn.functional.pad(log_density.cumsum(-1)[..., :-1], (1, 0))
    share = torch.softmax(logits.unsqueeze(-1) + before, -2)
    return (share * level).sum(-2)
