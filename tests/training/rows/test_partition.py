import pytest
import torch

from manymodes._checks import InputError
from manymodes.training import Partition

SEED = 0


def of(groups, share=0.25, n_members=4, seed=SEED):
    return Partition.of_groups(torch.tensor(groups), share, n_members, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sizes", [[1] * 20, [5] * 7, [40, 1, 2, 3], [1, 100], [30, 30, 1]])
def test_no_group_is_on_both_sides_of_a_member(sizes):
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    groups = groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(1))]
    parts = of(groups.tolist())
    assert parts.learns.shape[0] == parts.held_out.shape[0] == 4
    assert parts.learns.shape[1] > 0
    assert parts.held_out.shape[1] > 0
    for learns, held_out in zip(parts.learns, parts.held_out, strict=True):
        assert not set(groups[learns].tolist()) & set(groups[held_out].tolist())
        assert len(held_out.unique()) <= len(groups) / 2 or len(sizes) == 2
        counts = learns.unique(return_counts=True)[1]
        assert counts.max() - counts.min() <= 1  # each row as often as any other
    assert max(len(learns.unique()) for learns in parts.learns) >= len(groups) / 2


def test_a_group_that_is_most_of_the_rows_is_learned_from_by_all():
    groups = torch.tensor([0] * 900 + [1] * 50 + [2] * 50)
    parts = of(groups.tolist(), share=0.125, n_members=8)
    for learns, held_out in zip(parts.learns, parts.held_out, strict=True):
        assert set(groups[held_out].tolist()) < {1, 2}
        assert len(learns.unique()) == 950


def test_members_hold_out_different_groups_that_are_all_rows_together():
    parts = of(list(range(40)))
    assert sorted(parts.held_out.flatten().tolist()) == list(range(40))
    assert parts.learns.shape == (4, 30)


def test_a_network_without_members_has_no_member_axis():
    parts = of([0, 0, 1, 1, 2, 2], n_members=None)
    assert parts.learns.dim() == parts.held_out.dim() == 1


def test_a_single_group_is_refused():
    with pytest.raises(InputError, match=r"^groups must name at least two groups, one of them to hold out; got one\.$"):
        of([3, 3, 3])
