"""Exercises that answer at once: `weights = check("01.3", weights)`.

A check never stops the notebook. It prints one line, and returns the reader's answer where it holds and the
reference where it does not (yet), so that everything below runs either way.
"""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "checking": "CHAPTERS check exercises_of",
        "machinery": "Exercise NotAttempted NotYet",
    },
)
