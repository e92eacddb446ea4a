"""Which Python this is: one of its own, or one inside a browser's page, where there are no threads, no processes and no BLAS.

There Python is compiled to WebAssembly (Emscripten, as Pyodide): 32 bits, one thread, and only the packages that the page brings.
Colab's is an ordinary Python, with a page and packages of Colab's own choice.
"""

import sys

NO_THREADS = "Python in a browser has one thread and one process"


class NotInABrowser(ValueError):
    """What was asked for cannot be had in a browser's page; the text is one sentence. A notebook goes on after it."""


def in_browser():
    """Whether Python runs in a browser's page, or in Node as it would there.

    Returns
    -------
    bool
    """
    return sys.platform == "emscripten"


def in_colab():
    """Whether this is a notebook of Google Colab: its kernel has loaded `google.colab` before the first cell.

    Returns
    -------
    bool
    """
    return "google.colab" in sys.modules


def no_threads(what, instead):
    """The error for what needs threads or processes, where there are none.

    Parameters
    ----------
    what : str
        What was asked for, such as "workers=2".
    instead : str
        What to do, as the rest of a sentence, such as "leave workers out".

    Returns
    -------
    NotInABrowser
        One sentence, to be raised.
    """
    return NotInABrowser(f"{NO_THREADS}, too few for {what}: {instead}")
