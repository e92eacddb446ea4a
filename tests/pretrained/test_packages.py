"""Models that come as packages: found without running what is in them."""

import re
import sys

import pytest

from cllm_lib.pretrained import packages
from cllm_lib.pretrained.packages import package_folder


def test_a_package_is_found_and_none_of_its_code_runs(tmp_path, monkeypatch):
    (tmp_path / "a_model").mkdir()
    (tmp_path / "a_model" / "__init__.py").write_text("raise SystemExit('it ran')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_folder("a_model", "a model", "1 MB", "name a file") == tmp_path / "a_model"
    assert "a_model" not in sys.modules


def test_what_is_missing_is_said_with_what_brings_it(tmp_path, monkeypatch):
    said = re.escape("a model is not installed: `make pretrained` (without make `python tools/workbook.py pretrained`) brings it, 1 MB; or")
    with pytest.raises(FileNotFoundError, match=said + " name a file"):
        package_folder("no_such_model", "a model", "1 MB", "name a file")
    (tmp_path / "one_module.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileNotFoundError, match=said):
        package_folder("one_module", "a model", "1 MB", "name a file")


def test_both_models_are_asked_for_in_the_same_words(monkeypatch):
    from cllm_lib.pretrained import load_chat_model, load_encoder

    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    for load, what, size in ((load_encoder, "the pretrained model", "83 MB"), (load_chat_model, "the chat model", "93 MB")):
        with pytest.raises(FileNotFoundError, match=f"^{what} is not installed: .*{packages.WITHOUT_MAKE}.* brings it, {size}; or name a"):
            load()
