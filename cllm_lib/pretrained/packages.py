"""Where the models lie that come as packages. None of a package's code runs: it would ask for PyTorch, or for llama.cpp."""

import importlib.util
from pathlib import Path

from cllm_lib.browser import NotInABrowser, in_browser

COMMAND = "make pretrained"
WITHOUT_MAKE = "python tools/workbook.py pretrained"


def package_folder(package, what, size, instead):
    """Folder of an installed package.

    Parameters
    ----------
    package : str
    what, size, instead : str
        For the error: what is missing, how large it is, and what to call without it.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If the package is not there.
    NotInABrowser
        If it is not there, and nothing could bring it.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        if in_browser():
            raise NotInABrowser(f"{what}, {size}, does not come into a browser's page: a cell that needs it stands still here")
        raise FileNotFoundError(f"{what} is not installed: `{COMMAND}` (without make `{WITHOUT_MAKE}`) brings it, {size}; or {instead}")
    return Path(found.submodule_search_locations[0])
