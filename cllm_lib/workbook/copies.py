"""Which of a reader's copies no longer fit the book, and what to do: `python -m cllm_lib.workbook.copies workspace`.

A copy may be of a chapter that has another name by now, or import what the library no longer has.
"""

import ast
import importlib
import importlib.util
import json
import pkgutil
import re
import sys
from pathlib import Path

import cllm_lib

GOES_ON = {  # chapters of the first edition, where many took more than an hour, and those that they have become
    "02_real_attention": ("03_real_attention", "04_which_one_is_sound"),
    "03_attention_backward": ("05_where_gradients_come_from", "06_the_shortcut"),
    "04_adam": ("07_adam", "08_when_a_right_optimiser_still_fails"),
    "05_the_repair_ladder": ("09_the_repair_ladder",),
    "06_training_a_language_model": ("10_training_a_language_model", "11_letting_it_speak"),
    "07_primes_and_spirals": ("12_the_primes_of_a_log", "13_what_a_curve_keeps_together"),
    "08_lattice_inside_the_model": ("14_lattice_inside_the_model", "15_where_does_a_word_stand"),
    "09_lattice_reduction": ("16_lattice_reduction", "17_weights_in_few_bits"),
    "10_evidence": ("18_evidence", "19_how_sure_is_that"),
    "12_a_real_model": ("21_a_real_model",),
}


def stale_imports(source):
    """The imports of a program that fail with the library of today.

    Parameters
    ----------
    source : str
        Python; what does not parse has none, for a reader may be in the middle of a line.

    Returns
    -------
    list of (str, str)
        Module and name.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cllm_lib"]
    return [(node.module, alias.name) for node in imports for alias in node.names if not _can_be_imported(node.module, alias.name)]


def _can_be_imported(module, name):
    if not _exists(module):
        return False
    return name in getattr(importlib.import_module(module), "__all__", ()) or _exists(f"{module}.{name}") or _has(module, name)


def _exists(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package is there
        return False


def _has(module, name):
    found = importlib.import_module(module)
    return not hasattr(found, "__path__") and hasattr(found, name)


def home_of(name):
    """The package whose face offers a name today, or None."""
    packages = ["cllm_lib", *(found for _, found, is_package in pkgutil.walk_packages(cllm_lib.__path__, "cllm_lib.") if is_package)]
    return next((package for package in packages if name in importlib.import_module(package).__all__), None)


def notices(folder):
    """A sentence for each notebook of a folder that is of an earlier edition, or imports what is no longer there.

    Parameters
    ----------
    folder : str or path
        The reader's workspace; chapters that were set aside already are left alone.

    Returns
    -------
    list of str
    """
    return [notice for path in sorted(Path(folder).glob("*.ipynb")) if ".mine-" not in path.name for notice in _notice(path)]


def _notice(path):
    if path.stem in GOES_ON:
        new = " and ".join(f"{name}.ipynb" for name in GOES_ON[path.stem])
        stays = "Yours stays as it is; its checks ask for other exercises now."
        yield f"Your {path.name} is of an earlier edition and goes on in {new}. {stays}"
        return
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a damaged notebook is JupyterLab's to report
    stale = dict.fromkeys(found for source in sources for found in stale_imports(source))
    if stale:
        module, name = next(iter(stale))
        home, others = home_of(name), len(stale) - 1
        now = f", which stands in {home} now" if home else ""
        more = f" and {others} more" if others else ""
        chapter = re.match(r"\d\d(?=_)", path.name)
        advice = f"`make fresh CHAPTER={chapter[0]}` sets it aside and gives you the new one" if chapter else "change these imports in it"
        yield f"Your {path.name} imports {name} from {module}{now}{more}: {advice}."


if __name__ == "__main__":
    for notice in notices(sys.argv[1]):
        print(notice)
