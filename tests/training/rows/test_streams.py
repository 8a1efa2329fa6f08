from itertools import count, islice

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import Incomplete
from manymodes.training import Checkpoint, Stream
from manymodes.training.rows.data import Rows
from manymodes.training.rows.feeds import StreamFeed
from manymodes.training.rows.sampling import take_sample
from manymodes.training.rows.streams import is_held_out

from ..test_checkpoint import KilledError, ensemble, killed_after, with_retrieval
from ..test_loop import data, network, same, weights

OPTIONS = {"max_epochs": 20, "batch_size": 32, "lr": 1e-2, "random_state": 3, "progress": False}


def blocks(n=2000, size=150):
    x, y = data(n)
    return list(zip(x.split(size), y.split(size), strict=True))


def all_rows(parts):
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def fitted(source, **options):
    net = network()
    history = mm.fit(net, source, **{**OPTIONS, **options})
    return net, history


def test_a_stream_is_learned_as_well_as_rows_in_memory():
    x, y = data(2000)
    x_new, y_new = (part[-500:] for part in data(5000))
    scores = []
    for source in ((x, y), Stream(blocks(), buffer_rows=400)):
        net, history = fitted(source)
        scores.append(mm.metrics.log_score(net(x_new), y_new).mean().item())
        assert history.n_epochs == 20
    assert scores[1] == pytest.approx(scores[0], abs=0.1)


@pytest.mark.parametrize("kind", ["list", "loader", "function"])
def test_blocks_come_from_anything_that_can_be_gone_through_again(kind):
    parts = blocks(400)
    sources = {
        "list": parts,
        "loader": DataLoader(TensorDataset(*all_rows(parts)), batch_size=100),
        "function": Stream(lambda: iter(parts)),
    }
    _, history = fitted(sources[kind], max_epochs=2)
    assert history.n_epochs == 2
    assert history.n_train + history.n_validation == pytest.approx(400, abs=20)


def feed(stream, net, share=0.1, batch_size=32, seed=0):
    sample = take_sample(stream, net, share)
    net.initialise(sample.train.x, sample.train.y, torch.Generator().manual_seed(0))
    return StreamFeed(stream, net, sample, batch_size, seed)


def test_a_pass_gives_every_row_to_learn_from_once_and_none_that_is_held_out():
    net, parts = network(), blocks(1000)
    x, y = all_rows(parts)
    stream = Stream(parts, buffer_rows=300)
    one = feed(stream, net)
    out = is_held_out(Rows(x, y, None), 0.1)
    learned = torch.cat([batch.y for batch in one.batches(27)]).flatten()  # 27 batches of 32 are fewer than 900
    expected = net.scale_target(y[~out]).flatten()
    assert len(learned.unique()) == len(learned) == 27 * 32
    assert torch.isin(learned, expected).all()
    assert not torch.isin(net.scale_target(y[out]).flatten(), learned).any()


def test_rows_are_shuffled_anew_in_every_pass():
    stream = Stream(blocks(600), buffer_rows=200)
    net = network()
    first = [batch.x for batch in feed(stream, net).batches(40)]
    again = [batch.x for batch in feed(stream, net).batches(40)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], next(feed(stream, net, seed=1).batches(1)).x)
    in_order = net.scale_input(all_rows(blocks(600))[0])
    assert not torch.equal(first[0], in_order[:32])
    assert not any(torch.equal(first[0], other) for other in first[1:])


def test_never_more_rows_are_held_than_the_buffer_and_a_block():
    held, most = [], []

    class Watched(Stream):
        def rows(self, *args):
            for rows in super().rows(*args):
                held.append(len(rows))
                yield rows

    stream = Watched(blocks(3000, size=100), buffer_rows=500)
    one, taken = feed(stream, network()), 0
    held.clear()
    for batch in one.batches(80):
        taken += len(batch)
        most.append(0.9 * sum(held) - taken)
    assert max(most) < 700


def test_equal_rows_share_their_fate_and_the_share_is_kept():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50_000, 3, generator=generator), torch.randn(50_000, 1, generator=generator)
    out = is_held_out(Rows(x, y, None), 0.1)
    assert abs(out.float().mean() - 0.1) < 5 * (0.09 / 50_000) ** 0.5  # one false alarm in two million
    order = torch.randperm(50_000, generator=generator)
    assert torch.equal(is_held_out(Rows(x[order], y[order], None), 0.1), out[order])
    assert torch.equal(is_held_out(Rows(x.double(), y.double(), None), 0.1), out)
    correlation = torch.corrcoef(torch.stack([out.float(), x[:, 0], y[:, 0]]))[0, 1:]
    assert correlation.abs().max() < 0.025


def test_a_sample_of_a_sorted_stream_is_fair():
    x = torch.arange(30_000.0)[:, None]
    parts = list(zip(x.split(1000), x.split(1000), strict=True))
    sample = take_sample(Stream(parts, sample_rows=2000), network(), 0.1)
    assert sample.found.n_rows == 30_000
    assert len(sample.train) + len(sample.held_out) == 2000
    assert abs(sample.train.x.mean() - 15_000) < 5 * 30_000 / 12**0.5 / 1800**0.5


def test_blocks_without_end_make_passes_of_so_many_rows():
    def endless():
        for i in count():
            x = torch.rand(100, 1, generator=torch.Generator().manual_seed(i))
            yield x, x.sin()

    _, history = fitted(Stream(endless, n_rows=1050), max_epochs=3)
    assert history.n_train == round(0.9 * 1050)


def test_a_long_pass_makes_several_epochs(monkeypatch):
    monkeypatch.setattr("manymodes.training.rows.sources._Streamed.longest_epoch", 10)
    _, history = fitted(blocks(1000), max_epochs=2)
    per_pass = -(-round(0.9 * 1000) // 32)
    assert history.max_epochs == history.n_epochs == -(-2 * per_pass // 10)


def test_weights_and_incomplete_targets_are_streamed():
    x, y = data(600)
    heavy = torch.where(y[:, 0] > 0.5, 1.0, 1e-3)
    weighted = [(x[i : i + 100], y[i : i + 100], heavy[i : i + 100]) for i in range(0, 600, 100)]
    net, _ = fitted(weighted)
    assert net(x).mean.mean() > 0.6  # nearly all weight is on the larger targets
    rounded = [(x[i : i + 100], Incomplete.rounded(y[i : i + 100], 0.1)) for i in range(0, 600, 100)]
    _, history = fitted(rounded)
    assert history.validation_loss[-1] < history.validation_loss[0]


@pytest.mark.parametrize("make", [network, ensemble])
@pytest.mark.parametrize("n_losses", [5, 40])
def test_a_stream_that_was_killed_goes_on_bit_for_bit(make, n_losses, tmp_path):
    settings = {**OPTIONS, "max_epochs": 5}
    stream = Stream(blocks(400, size=90), buffer_rows=150)
    through = make()
    mm.fit(through, stream, **settings)
    checkpoint = Checkpoint(tmp_path, seconds=1e-9)
    with pytest.raises(KilledError):
        mm.fit(make(), stream, objective=killed_after(n_losses), checkpoint=checkpoint, **settings)
    resumed = make()
    mm.fit(resumed, stream, checkpoint=checkpoint, **settings)
    assert same(weights(through), weights(resumed))


def generator_of_blocks():
    yield from blocks()


@pytest.mark.parametrize(
    ("source", "error", "sentence"),
    [
        (
            lambda: generator_of_blocks(),
            TypeError,
            "data must be a tuple (x, y) or (x, y, weight) of tensors, or blocks of such that can be gone through "
            "again and again: a list, a DataLoader or training.Stream(function); got generator.",
        ),
        (lambda: Stream(list), InputError, "data must have at least 1 row; its stream has none."),
        (
            lambda: [*blocks(400, 100), (torch.full((5, 1), torch.nan), torch.zeros(5, 1))],
            InputError,
            "x in block 5 of data must be finite and within ±1e+150; got another value first in row 1. Drop those rows "
            "or fill them in.",
        ),
        (
            lambda: [*blocks(400, 100), (torch.zeros(5, 2), torch.zeros(5, 1))],
            InputError,
            "x in block 5 must have shape (N, 1) as in the blocks before; got (5, 2).",
        ),
        (
            lambda: [*blocks(400, 100), (torch.zeros(5, 1), torch.zeros(5, 1))],
            InputError,
            "x in block 5 must be torch.float64 as in the blocks before; got torch.float32.",
        ),
        (
            lambda: [*blocks(400, 100), (torch.zeros(5, 1), torch.zeros(5, 2))],
            InputError,
            "y in block 5 of data must have shape (N, 1) to match the head's target_dim=1; got (5, 2).",
        ),
        (
            lambda: [*blocks(400, 100), (torch.zeros(5, 1).double(), torch.zeros(5, 1), torch.ones(5))],
            InputError,
            "block 5 of data must have weights where the blocks before have them; got some, and before none. Make all "
            "blocks alike.",
        ),
    ],
)
def test_a_stream_that_cannot_be_learned_from_is_refused(source, error, sentence):
    with pytest.raises(error) as caught:
        fitted(source())
    assert str(caught.value) == sentence


def test_what_needs_rows_in_memory_is_refused_for_streams():
    with pytest.raises(InputError, match="^validation must be a share or rows of their own for a stream"):
        fitted(blocks(), validation=torch.arange(5))
    with pytest.raises(InputError, match="^data must be in memory for retrieval"):
        mm.fit(with_retrieval(), blocks(), **OPTIONS)


def test_validation_rows_of_their_own_leave_all_of_a_stream_to_learn_from():
    x, y = data(100)
    _, history = fitted(blocks(400), validation=(x, y), max_epochs=2)
    assert (history.n_train, history.n_validation) == (400, 100)


def test_a_stream_that_runs_dry_says_so():
    passes = iter([blocks(400), blocks(400)])
    stream = Stream(lambda: iter(next(passes, [])))
    with pytest.raises(InputError, match=r"^data must have rows in every pass; its stream has none left\.$"):
        fitted(stream, max_epochs=5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_rows": 0}, "n_rows must be an integer >= 1; got 0."),
        ({"buffer_rows": 1}, "buffer_rows must be an integer >= 2; got 1."),
        ({"sample_rows": 1}, "sample_rows must be an integer >= 2; got 1."),
    ],
)
def test_sizes_of_a_stream_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(InputError) as caught:
        Stream(list, **options)
    assert str(caught.value) == sentence


def test_blocks_without_rows_are_passed_over():
    x, y = data(300)
    empty = x[:0], y[:0]
    sample = take_sample(Stream([empty, (x, y), empty]), network(), 0.1)
    assert sample.found.n_rows == 300
    fitted([empty, (x, y), empty], max_epochs=1)
    fitted(list(zip(x.split(1), y.split(1), strict=True)), max_epochs=1)


def test_a_buffer_smaller_than_a_batch_is_no_obstacle():
    _, history = fitted(Stream(blocks(400), buffer_rows=100), batch_size=256, max_epochs=2)
    assert history.n_epochs == history.max_epochs


def test_the_largest_seed_is_good_for_many_passes():
    _, history = fitted(blocks(400), random_state=2**32 - 1, max_epochs=4)
    assert history.n_epochs == 4


def test_a_loader_that_shuffles_is_reproducible_and_leaves_the_callers_generator():
    loader = DataLoader(TensorDataset(*data(400)), batch_size=50, shuffle=True)
    nets, before = [], torch.get_rng_state()
    for seed in (1, 2):
        torch.manual_seed(seed)
        nets.append(fitted(loader, max_epochs=2)[0])
    assert same(*map(weights, nets))
    torch.set_rng_state(before)
    fitted(loader, max_epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_parts_of_a_stream_share_no_row_and_make_it_whole():
    x, y = data(2000)
    whole = Stream(list(zip(x.split(150), y.split(150), strict=True)))
    test, rest = whole.part(0.2, held_out=True), whole.part(0.2, held_out=False)
    inner = rest.part(0.2, held_out=True), rest.part(0.2, held_out=False)
    found = [torch.cat([rows.x for rows in part.rows()]) for part in (test, *inner)]
    assert [round(len(part) / 100) for part in found] == [4, 3, 13]
    assert torch.equal(torch.cat(found).sort(0).values, x.sort(0).values)
    assert sum(len(block[0]) for block in test.blocks(None)) == len(found[0])


def test_a_feed_goes_on_where_it_was():
    stream, net = Stream(blocks(300, size=70), buffer_rows=120), network()
    whole = list(feed(stream, net).batches(30))
    first = feed(stream, net)
    list(islice(first.batches(30), 13))
    second = feed(stream, net)
    second.load_state(first.state(), 13)
    rest = list(second.batches(30, first=13))
    assert all(torch.equal(a.x, b.x) for a, b in zip(whole[13:], rest, strict=True))
