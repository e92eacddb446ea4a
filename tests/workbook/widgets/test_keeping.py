import os
from pathlib import Path

import pytest

from cllm_lib.workbook.widgets.keeping import Kept, NotOurs, free_name, newest


def write(path, words="a"):
    path.write_text(words, encoding="utf-8")
    return path


def test_what_is_not_there_can_be_written(tmp_path):
    Kept().check(tmp_path / "new.safetensors")


@pytest.mark.parametrize("name", ["06_training.ipynb", "other.safetensors", "notes"])
def test_what_was_there_before_the_run_is_not_its_own(tmp_path, name):
    with pytest.raises(NotOurs, match=f"{name} is there already, and is no checkpoint of this run"):
        Kept().check(write(tmp_path / name))


def test_what_the_run_wrote_is_its_own_until_somebody_else_writes_there(tmp_path):
    path, kept = write(tmp_path / "run.safetensors"), Kept()
    kept.note(path)
    kept.check(path)
    kept.check(os.path.relpath(path))
    write(path, "something longer")
    with pytest.raises(NotOurs):
        kept.check(path)


def test_a_file_put_in_its_place_is_another_even_if_it_is_as_long(tmp_path):
    path, kept = write(tmp_path / "run.safetensors"), Kept()
    kept.note(path)
    os.replace(write(tmp_path / "other"), path)
    with pytest.raises(NotOurs):
        kept.check(path)


def test_another_name_for_the_same_file_is_the_same_file(tmp_path):
    path, kept = write(tmp_path / "run.safetensors"), Kept()
    kept.note(path)
    (tmp_path / "link.safetensors").symlink_to(path)
    kept.check(tmp_path / "link.safetensors")


def test_the_checkpoint_before_spares_what_is_not_its_own_too(tmp_path):
    path, kept = write(tmp_path / "run.safetensors"), Kept()
    kept.note(path)
    before = write(tmp_path / "run.previous.safetensors")
    with pytest.raises(NotOurs, match="run.previous.safetensors, where the checkpoint before would go"):
        kept.check(path)
    kept.note(path)  # as after a save that wrote both
    kept.check(path)
    assert before.exists()


def test_a_free_name_is_like_the_one_asked_for_and_ends_as_a_checkpoint_does(tmp_path):
    assert free_name(tmp_path / "chapter.ipynb") == tmp_path / "chapter.safetensors"
    write(tmp_path / "chapter.safetensors")
    write(tmp_path / "chapter-2.previous.safetensors")
    assert free_name(tmp_path / "chapter.safetensors") == tmp_path / "chapter-3.safetensors"
    (tmp_path / "nowhere.safetensors").symlink_to(tmp_path / "gone")
    assert free_name(tmp_path / "nowhere.safetensors") == tmp_path / "nowhere-2.safetensors"


def test_the_newest_checkpoint_is_found_and_the_one_before_it_is_not(tmp_path):
    assert newest(tmp_path) is None
    for age, name in enumerate(["dashboard-2.safetensors", "dashboard.safetensors", "dashboard.previous.safetensors", "mine.safetensors"]):
        os.utime(write(tmp_path / name), (100 * age, 100 * age))
    assert newest(tmp_path) == Path(tmp_path / "dashboard.safetensors")
