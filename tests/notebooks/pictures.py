"""Pictures of a notebook beside the stored ones: nbval compares text only."""

import base64
import functools
import io
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib.image import imread

SEEN = 2.5 / 255  # a smaller difference is rounding: on another processor three pixels of 43 pictures were off, by 1/255
STRAY = 2  # pixels that may differ by more; the tail that makes a comma of a full stop is seven

LOCK = Path(__file__).parents[2] / "requirements.lock"


@functools.cache
def drawn_by_the_locked_matplotlib():
    """Whether the matplotlib here is the one that drew the stored pictures: another version draws other pixels."""
    return f"matplotlib=={version('matplotlib')} " in LOCK.read_text(encoding="utf-8")


def pictures(outputs):
    """Every picture among a cell's outputs, as an array of numbers from 0 to 1."""
    encoded = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [imread(io.BytesIO(base64.b64decode(data))) for data in encoded]


def check_pictures(drawn, stored):
    """Hold the pictures among a cell's outputs to the stored ones: the same number, sizes, and pixels but for stray ones.

    Raises
    ------
    AssertionError
        Says which picture of the cell differs, and in how many pixels.
    """
    if not drawn_by_the_locked_matplotlib():
        return
    ours, theirs = pictures(drawn), pictures(stored)
    assert len(ours) == len(theirs), f"{len(ours)} pictures were drawn, {len(theirs)} are stored: `make notebooks` stores anew"
    for number, (ours_now, kept) in enumerate(zip(ours, theirs, strict=True), start=1):
        assert ours_now.shape == kept.shape, f"picture {number} has shape {ours_now.shape}, the stored one {kept.shape}"
        different = int((np.abs(ours_now - kept).max(axis=-1) > SEEN).sum())
        assert different <= STRAY, f"picture {number} differs from the stored one in {different} pixels: look at both"
