import gzip
import hashlib

import numpy as np
import pytest

from manymodes._checks import InputError
from manymodes.datasets import fetch_mnist, mnist

NAMES = tuple(mnist.FILES)


@pytest.fixture
def small(monkeypatch):
    """Replace the files by ones of 3 and 2 images, and return their content by name."""
    rng = np.random.default_rng(0)
    content = {}
    for name in NAMES:
        shape = (3 if name.startswith("train") else 2, *((28, 28) if "images" in name else ()))
        header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
        content[name] = gzip.compress(header + rng.integers(0, 10, shape, dtype=np.uint8).tobytes())
    monkeypatch.setattr(mnist, "FILES", {name: hashlib.sha256(part).hexdigest() for name, part in content.items()})
    return content


def write(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in content.items():
        (folder / name).write_bytes(part)


def test_the_original_files_hold_the_known_digits(shared_folder):
    X_train, y_train, X_test, y_test = fetch_mnist(shared_folder("mnist") / "mnist", download=False)
    assert (X_train.shape, X_test.shape, X_train.dtype, y_train.dtype) == (
        (60_000, 28, 28), (10_000, 28, 28), np.uint8, np.int64,
    )  # fmt: skip
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert X_train.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert X_train.flags.writeable  # torch.from_numpy warns of others
    assert (X_test[0].max(1) > 0).nonzero()[0].tolist() == list(range(7, 27))  # a seven: the rows that have ink


def test_a_folder_may_hold_the_files_or_a_subfolder_that_does(small, tmp_path):
    write(tmp_path / "all" / "mnist", small)
    above, itself = fetch_mnist(tmp_path / "all"), fetch_mnist(str(tmp_path / "all" / "mnist"))
    for one, other in zip(above, itself, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [part.shape for part in above] == [(3, 28, 28), (3,), (2, 28, 28), (2,)]


def test_missing_files_are_downloaded_once_and_kept(small, server, nowhere, cache, monkeypatch):
    served, address = server
    write(served, small)
    write(cache / "mnist", {NAMES[0]: small[NAMES[0]]})
    (served / NAMES[0]).unlink()  # what is there already is not asked for
    monkeypatch.setattr(mnist, "MIRRORS", (nowhere, address))
    fetched = fetch_mnist()
    monkeypatch.setattr(mnist, "MIRRORS", (nowhere,))
    for one, other in zip(fetched, fetch_mnist(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert sorted(path.name for path in (cache / "mnist").iterdir()) == sorted(NAMES)


def test_without_the_files_on_any_server_a_sentence_says_how_to_get_them(small, server, cache, monkeypatch):
    _, address = server
    write(cache / "mnist", {name: small[name] for name in NAMES[:3]})
    monkeypatch.setattr(mnist, "MIRRORS", (f"{address}one/", f"{address}two/"))
    with pytest.raises(InputError) as caught:
        fetch_mnist()
    name = "t10k-labels-idx1-ubyte.gz"
    assert str(caught.value) == (
        f"MNIST must have its 4 files in one folder; {cache}/mnist lacks {name} (sha256 {mnist.FILES[name]}), and the "
        f"download failed ({address}one/{name}: File not found; {address}two/{name}: File not found). Fetch them from "
        f"{address}one/ or {address}two/, or name a folder that has them (folder, --data or $MANYMODES_DATA)."
    )


def test_files_that_are_missing_where_none_may_be_downloaded_are_named(small, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", ("https://one/", "https://two/"))
    write(tmp_path / "own", {name: small[name] for name in NAMES[2:]})
    expected = (
        "MNIST must have its 4 files in one folder; {home} lacks train-images-idx3-ubyte.gz (sha256 {images}), "
        "train-labels-idx1-ubyte.gz (sha256 {labels}). Fetch them from https://one/ or https://two/, or name a folder "
        "that has them (folder, --data or $MANYMODES_DATA)."
    )
    sums = {"images": mnist.FILES[NAMES[0]], "labels": mnist.FILES[NAMES[1]]}
    with pytest.raises(InputError) as caught:
        fetch_mnist(tmp_path / "own")  # a folder of the user's is not written to
    assert str(caught.value) == expected.format(home=tmp_path / "own" / "mnist", **sums)
    write(cache / "mnist", {name: small[name] for name in NAMES[2:]})
    with pytest.raises(InputError) as caught:
        fetch_mnist(download=False)
    assert str(caught.value) == expected.format(home=cache / "mnist", **sums)


def test_a_download_that_cannot_be_kept_is_told(small, server, cache, monkeypatch):
    served, address = server
    write(served, small)
    cache.write_text("a file where the folder should be")
    monkeypatch.setattr(mnist, "MIRRORS", (address,))
    with pytest.raises(InputError, match=r"and the download failed \(\[Errno \d+\] .*cache/mnist'\)\. Fetch them from"):
        fetch_mnist()


def test_a_damaged_image_file_is_refused(small, tmp_path):
    write(tmp_path, small | {NAMES[2]: small[NAMES[2]][:-1]})
    with pytest.raises(InputError, match=rf"{NAMES[2]} must have the sha256 {mnist.FILES[NAMES[2]]}; got [0-9a-f]+,"):
        fetch_mnist(tmp_path)
