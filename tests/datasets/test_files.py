import hashlib
import socket
import threading
from pathlib import Path

import pytest

from manymodes._checks import InputError
from manymodes.datasets.files import checked_file, data_folder, download, located

CONTENT = b"numbers"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_data_are_kept_where_the_variable_says_or_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MANYMODES_DATA", "~/tables")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / "tables"
    monkeypatch.delenv("MANYMODES_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert data_folder() == tmp_path / "own" / "manymodes"
    for unset in ("", "relative"):  # which the standard tells to ignore
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert data_folder() == tmp_path / ".cache" / "manymodes"


def test_a_file_is_found_in_a_folder_itself_and_in_the_subfolder_of_its_data_set(tmp_path, cache):
    assert located(tmp_path, "waves", "a.npz") == tmp_path / "waves" / "a.npz"
    (tmp_path / "a.npz").touch()
    assert located(str(tmp_path), "waves", "a.npz") == tmp_path / "a.npz"
    assert located(None, "waves", "a.npz") == cache / "waves" / "a.npz"


def test_a_download_writes_the_file_and_nothing_else(server, tmp_path):
    served, address = server
    (served / "a").write_bytes(CONTENT)
    download([address + "a"], tmp_path / "new" / "a", SHA256)
    assert checked_file(tmp_path / "new" / "a", SHA256) == CONTENT
    assert everything_in(tmp_path / "new") == ["a"]


def test_addresses_are_tried_in_turn_until_one_gives_the_right_file(server, nowhere, tmp_path):
    served, address = server
    (served / "a").write_bytes(CONTENT)
    (served / "other").write_bytes(b"a page that says sorry")
    download([nowhere + "a", address + "missing", address + "other", address + "a"], tmp_path / "a", SHA256)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_failed_download_leaves_no_file_and_says_what_each_address_gave(server, nowhere, tmp_path):
    served, address = server
    (served / "other").write_bytes(CONTENT[:-1])
    with pytest.raises(ConnectionError) as caught:
        download([nowhere + "a", address + "missing", address + "other"], tmp_path / "new" / "a", SHA256)
    first, second, third = str(caught.value).split("; ")
    assert first.startswith(f"{nowhere}a: ")
    assert "No such file or directory" in first
    assert second == f"{address}missing: File not found"
    assert third == f"{address}other: a file with another checksum"
    assert everything_in(tmp_path / "new") == []


def test_an_answer_that_breaks_off_counts_as_none(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nnumb")

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/a"
        with pytest.raises(ConnectionError, match=r"IncompleteRead\(4 bytes read, 96 more expected\)$"):
            download([address], tmp_path / "new" / "a", SHA256)
        thread.join()
    assert everything_in(tmp_path / "new") == []


def test_an_interrupted_write_leaves_no_file(server, tmp_path, monkeypatch):
    served, address = server
    (served / "a").write_bytes(CONTENT)

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download([address + "a"], tmp_path / "new" / "a", SHA256)
    assert everything_in(tmp_path / "new") == []


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"number")
    with pytest.raises(InputError) as caught:
        checked_file(tmp_path / "a", SHA256)
    found = hashlib.sha256(b"number").hexdigest()
    assert str(caught.value) == (
        f"{tmp_path / 'a'} must have the sha256 {SHA256}; got {found}, so it is damaged, or another file. Put the "
        "right one there, or delete it."
    )
