"""Faces: every promised name is there, loaded when asked for, and no module stands in its place."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import cllm_lib
from cllm_lib.faces import face

PACKAGES = ["cllm_lib"] + [name for _, name, is_package in pkgutil.walk_packages(cllm_lib.__path__, "cllm_lib.") if is_package]


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_face_offers_is_there_and_no_module_bears_its_name(name):
    package = importlib.import_module(name)
    modules = {module for _, module, _ in pkgutil.iter_modules(package.__path__)}
    for offered in package.__all__:
        assert getattr(package, offered) is not None
        assert offered not in modules, f"importing {name}.{offered} would put the module in the place of what is promised"
    assert package.__doc__


@pytest.mark.parametrize("name", PACKAGES)
def test_a_face_loads_nothing_before_it_is_asked(name):
    program = f"import sys, {name}; print(any(m.startswith('numpy') for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_name_that_is_not_offered_is_an_attribute_error():
    import cllm_lib.text

    with pytest.raises(AttributeError, match=r"module 'cllm_lib.text' has no attribute 'load_korpus'"):
        _ = cllm_lib.text.load_korpus
    with pytest.raises(ImportError, match="load_korpus"):
        exec("from cllm_lib.text import load_korpus")


def test_a_module_named_as_what_it_offers_is_refused():
    with pytest.raises(ValueError, match="offers 'gptq' of its module 'gptq', and has a module of that name: rename"):
        face("somewhere", {"gptq": "gptq round_to_nearest"})


def test_a_module_may_be_offered_itself():
    getter, names, promised = face("cllm_lib", {"checks": ""})
    assert getter("checks") is importlib.import_module("cllm_lib.checks")
    assert names() == promised == ["checks"]


def test_all_modules_of_a_package_are_imported_in_order(tmp_path):
    for name in ("second", "first"):
        (tmp_path / "rooms").mkdir(exist_ok=True)
        (tmp_path / "rooms" / f"{name}.py").write_text(f"print({name!r})", encoding="utf-8")
    (tmp_path / "rooms" / "__init__.py").write_text("", encoding="utf-8")
    program = "from cllm_lib.faces import load_modules; import sys; sys.path.append('.'); load_modules('rooms')"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["first", "second"]


def test_a_package_that_is_not_there_is_named_with_what_brings_it():
    """As in an environment that has the library alone: matplotlib cannot be found."""
    program = "import sys; sys.modules['matplotlib'] = None; from cllm_lib.workbook.figures import show"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 'needs the package matplotlib: the library alone goes without; `pip install "cllm-workbook[notebooks]"`' in done.stderr


def test_a_function_that_needs_more_says_so():
    program = "import cllm_lib.experiments as e; e.run(max, variants=[1, 2], seeds=[1, 2], n_jobs=2)"
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.modules['joblib'] = None; {program}"], capture_output=True, text=True)
    said = "an experiment in several processes needs the package joblib: the library alone goes without"
    assert done.stderr.splitlines()[-1].startswith(f"ModuleNotFoundError: {said}")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import cllm_lib.experiments as e; print(f'{e.interval([1.0, 2.0, 3.0]):.2f}')", "2.00 (-0.48 to 4.48)"),
        ("import numpy, cllm_lib.model as m; print(m.gelu_forward(numpy.ones(2)).round(6))", "[0.841345 0.841345]"),
    ],
    ids=["an interval", "GELU"],
)
def test_without_scipy_the_same_is_said(program, said):
    program = f"import sys; sys.modules['scipy'] = None; {program}"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == said
