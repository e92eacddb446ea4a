import errno
import os
import re
import stat

import pytest

from cllm_lib import files
from cllm_lib.files import no_place_for_a_file, target_of, write_atomically


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


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_links_are_followed_to_the_end_and_stay(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to(tmp_path / "c")
    write_atomically(tmp_path / "a", b"1")  # what is at the end is not there yet
    write_atomically(tmp_path / "a", b"2", keep=tmp_path / "old")
    assert [(tmp_path / name).is_symlink() for name in "abc"] == [True, True, False]
    assert ((tmp_path / "c").read_bytes(), (tmp_path / "old").read_bytes()) == (b"2", b"1")
    assert names(tmp_path) == ["a", "b", "c", "old"]
    assert target_of(tmp_path / "a") == tmp_path / "c"
    assert target_of(tmp_path / "c") == tmp_path / "c"


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_a_circle_of_links_is_an_error_and_stays(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links.*a'$") as error:
        write_atomically(tmp_path / "a", b"1")
    assert error.value.errno == errno.ELOOP
    assert names(tmp_path) == ["a", "b"]


def test_a_place_for_a_file_has_nothing_against_it(tmp_path):
    (tmp_path / "old").write_bytes(b"")
    for place in (tmp_path / "new", str(tmp_path / "old"), "beside"):
        assert no_place_for_a_file(place) is None


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("", "its name is empty: name a file"),
        ("{folder}", "is a folder: name a file in it, such as .*model.safetensors"),
        ("{folder}/nowhere/new", "there is no folder .*nowhere: make it first"),
        ("{folder}/file/new", "there is no folder .*file: make it first"),
        ("{folder}/a\0b", "cannot be written .embedded null byte.: name another file"),
        ("{folder}/" + "n" * 300, "cannot be written .File name too long"),
    ],
    ids=["no name", "a folder", "no folder", "a file as a folder", "a NUL", "too long"],
)
def test_where_no_file_can_be_there_is_a_sentence(tmp_path, place, words):
    (tmp_path / "file").write_bytes(b"")
    said = no_place_for_a_file(place.format(folder=tmp_path))
    assert said
    assert re.search(words, said), said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_what_is_no_ordinary_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", os.devnull):
        assert "is no ordinary file" in no_place_for_a_file(place)


def test_a_folder_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may always write
    assert no_place_for_a_file(tmp_path / "new").startswith(f"nothing may be written into {tmp_path}")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such bits")
def test_whoever_wrote_a_file_may_read_it_even_where_the_mask_forbids_it(tmp_path):
    """As in a browser, where the mask forbids everything."""
    before = os.umask(0o777)
    try:
        write_atomically(tmp_path / "a", b"whole")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
