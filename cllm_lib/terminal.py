"""What is printed: a stranger's file can hold words that move the cursor, recolour the screen or turn lines round."""

import re
import sys

CONTROLS = re.compile(  # C0, DEL and C1; marks that turn the direction of writing; line separators; halves of characters
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

TAB = 4  # blanks


def harmless(text):
    r"""The text with its control characters written out, so that a terminal shows them instead of obeying.

    >>> print(harmless("the \x1b[31msky\u202e"))
    the \x1b[31msky\u202e
    """
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(text))


def say(text, end="\n", error=False):
    """Print a line that may hold words from files, at once.

    Parameters
    ----------
    text : str
        Its control characters are written out, line breaks too; a character that the terminal lacks, likewise.
    end : str
        What follows, as it is.
    error : bool
        Whether it goes to stderr.
    """
    stream = sys.stderr if error else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(harmless(text).encode(encoding, "backslashreplace").decode(encoding), end=end, file=stream, flush=True)


def say_lines(text):
    """Print a piece of a text that may hold the ends of lines, which are kept, and tabs, which become blanks; at once."""
    *lines, rest = text.expandtabs(TAB).split("\n")
    for line in lines:
        say(line)
    say(rest, end="")
