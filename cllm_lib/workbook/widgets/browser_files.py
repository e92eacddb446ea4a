"""Files where Python itself runs in the reader's browser: they lie in the browser's own store, so each is offered and can be handed in."""

from base64 import b64encode
from html import escape
from pathlib import Path

import ipywidgets

from cllm_lib.browser import in_browser
from cllm_lib.workbook.widgets.keeping import free_name


def offered(path):
    """A link that downloads a file, in HTML; nothing where the file is the reader's own already.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    str
    """
    if not in_browser():
        return ""
    name, content = escape(Path(path).name), Path(path).read_bytes()
    address = f"data:application/octet-stream;base64,{b64encode(content).decode()}"
    return (
        f' <a class="cllm-download" download="{name}" href="{address}">Download {name}</a> ({len(content) / 1e6:.1f} MB): '
        "the file lies in this browser alone, and goes when its data are cleared."
    )


class HandIn(ipywidgets.FileUpload):
    """A button by which a reader hands in a file of theirs.

    Parameters
    ----------
    ending : str
        Such as ".safetensors".
    take : callable
        Is called with the path under which the file was put down: its own name, or one like it that was free.
    """

    def __init__(self, ending, take):
        super().__init__(accept=ending, multiple=False, description="FROM A FILE", layout={"width": "150px"})
        self.tooltip = "take a file that you downloaded, and load it"
        self._take = take
        self.observe(self._put_down, names="value")

    def _put_down(self, change):
        handed, self.value = self.value, ()  # so that the same file can be handed in again
        for found in handed:
            path = free_name(Path(found["name"]).name)  # a name alone: what a page says of folders is not believed
            path.write_bytes(bytes(found["content"]))
            self._take(path)
