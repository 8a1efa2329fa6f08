"""Which candidates are kept, against plain loops."""

import torch

from manymodes.inverse.candidates import Candidates
from manymodes.inverse.ranking import far_apart, told_apart


def candidates(n_rows: int, n: int, *, is_angle: bool = False) -> Candidates:
    generator = torch.Generator().manual_seed(0)
    y = 3 * torch.rand(n_rows, n, 2, generator=generator, dtype=torch.float64)
    mask = torch.rand(n_rows, n, generator=generator) < 0.8
    error = torch.rand(n_rows, n, generator=generator, dtype=torch.float64).sort(-1).values
    angles = torch.full((2,), is_angle)
    return Candidates(y, y, error, -error, torch.ones_like(error), mask, mask, angles).only(mask)


def test_right_ones_are_kept_as_a_plain_search_keeps_them():
    found, unit = candidates(20, 12), torch.tensor([[1.0, 2.0]]).double().expand(20, 2)
    kept = far_apart(found, 4, 0.6, unit)
    for row in range(20):
        places = found.mask[row].nonzero().squeeze(-1).tolist()
        right = [place for place in places if found.error[row, place] <= 0.6]
        chosen = [places[0]]
        while len(chosen) < min(4, len(places)):
            scaled = found.y[row] / unit[row]
            left = [place for place in right if place not in chosen]
            if left:
                chosen.append(max(left, key=lambda p: min((scaled[p] - scaled[q]).norm().item() for q in chosen)))
            else:
                chosen.append(next(place for place in places if place not in chosen))
        torch.testing.assert_close(kept.y[row, kept.mask[row]], found.y[row, sorted(chosen)])


def test_no_two_kept_are_near_and_all_others_are_near_a_better_one():
    found = candidates(20, 30)
    apart = torch.tensor([[0.5, 0.8]]).double().expand(20, 2)
    kept = told_apart(found, apart)
    near = ((found.y.unsqueeze(2) - found.y.unsqueeze(1)).abs() <= apart[:, None, None]).all(-1)
    better = torch.ones(30, 30).tril(-1).bool()
    by_a_kept_one = (near & better & kept.mask.unsqueeze(1)).any(-1)
    assert not (by_a_kept_one & kept.mask).any()
    assert (by_a_kept_one | kept.mask | ~found.mask).all()
    torch.testing.assert_close(kept.mass.sum(-1), found.mass.sum(-1))


def test_angles_are_near_across_the_cut():
    y = torch.tensor([[[3.1, 0.0], [-3.1, 0.0]]]).double()
    one, mask = torch.ones(1, 2).double(), torch.ones(1, 2).bool()
    found = Candidates(y, y, one, one, one, mask, mask, torch.tensor([True, False]))
    assert told_apart(found, torch.full((1, 2), 0.2).double()).count.item() == 1
