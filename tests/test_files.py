import errno
import os
import stat

import pytest

from cllm_lib import files
from cllm_lib.files import write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_writes_what_it_was_given_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "a b ä.bin", b"\0one")
    write_atomically(str(tmp_path / "a b ä.bin"), b"two")
    assert (tmp_path / "a b ä.bin").read_bytes() == b"two"
    assert names(tmp_path) == ["a b ä.bin"]


def test_the_old_file_is_kept_under_the_name_asked_for(tmp_path):
    for data in (b"1", b"2", b"3"):
        write_atomically(tmp_path / "new", data, keep=tmp_path / "old")
    assert (tmp_path / "new").read_bytes() == b"3"
    assert (tmp_path / "old").read_bytes() == b"2"
    assert names(tmp_path) == ["new", "old"]


def test_the_first_file_leaves_nothing_to_keep(tmp_path):
    write_atomically(tmp_path / "new", b"1", keep=tmp_path / "old")
    assert names(tmp_path) == ["new"]


def test_where_files_have_one_name_only_the_old_one_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *paths: (_ for _ in ()).throw(OSError(errno.EPERM, "no second names here")))
    for data in (b"1", b"2"):
        write_atomically(tmp_path / "new", data, keep=tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"1"
    assert names(tmp_path) == ["new", "old"]


def test_what_an_earlier_crash_left_is_no_obstacle(tmp_path):
    (tmp_path / "new").write_bytes(b"1")
    (tmp_path / ".old.part").write_bytes(b"half")
    write_atomically(tmp_path / "new", b"2", keep=tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"1"
    assert names(tmp_path) == ["new", "old"]


@pytest.mark.parametrize("fails", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["disk full", "Ctrl-C"])
def test_when_it_fails_the_old_file_is_as_it_was_and_nothing_half_written_stays(tmp_path, monkeypatch, fails, error):
    write_atomically(tmp_path / "file", b"old")

    def fail(*arguments):
        raise error

    monkeypatch.setattr(files.os, fails, fail)
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "file", b"new")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "whole", b"")
    assert stat.S_IMODE((tmp_path / "whole").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "nowhere" / "file", b"")
