"""Quotations: the five documents as their authors wrote them, and whether words stand in them.

    document("003")                                          # the text
    places("Status: ... FIXED", "000")                       # where its parts stand, in order

Words left out are shown by " ... ", as in print; all else is word for word. Only what makes Markdown look as it does counts for
nothing: marks of headings, lists, tables, bold type and code, and where lines break.
"""

import functools
import re

from cllm_lib.files import shipped

DOCUMENTS = ("000", "001", "002", "003", "004")
LEFT_OUT = " ... "


@functools.cache
def document(number):
    """One of the five documents.

    Parameters
    ----------
    number : str
        Such as "003".

    Returns
    -------
    str
    """
    return shipped("evidence", f"documents/{number}.txt").read_text(encoding="utf-8")


def plain(text):
    """A text without the marks of Markdown, its white space one blank each.

    Examples
    --------
    >>> plain("- **Batch size**: `4`, | as said |")
    'Batch size: 4, as said'
    """
    lines = (re.sub(r"^\s*(#+|[-*]|\d+\.)\s+", "", line) for line in text.split("\n") if not line.startswith("```"))
    return " ".join(re.sub(r"\*\*|`", "", " ".join(lines)).replace("|", " ").split())


def places(quotation, number):
    """Where the parts of a quotation begin in a document without its marks, each after the one before.

    Parameters
    ----------
    quotation : str
        Words left out are shown by " ... ".
    number : str
        Of the document.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        If a part does not stand there, whole words of it and after the part before.
    """
    return places_in(quotation, plain(document(number)), f"document {number}")


def places_in(quotation, text, whose):
    """As :func:`places`, in any text without marks.

    Parameters
    ----------
    quotation, text : str
    whose : str
        What the text is called if it does not say so.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        As above.
    """
    end, found = 0, []
    for part in quotation.split(LEFT_OUT):
        before, after = (r"\b" if re.match(r"\w", edge) else "" for edge in (part[:1], part[-1:]))
        there = re.compile(f"{before}{re.escape(part)}{after}").search(text, end) if part else None
        if there is None:
            raise ValueError(f"{whose} does not say {part!r}{' after that' if found else ''}: quote it word for word")
        found.append(there.start())
        end = there.end()
    return found


def documents_of(source):
    """The numbers of the documents that a row's source names.

    >>> documents_of("000 and 003, a plan")
    ['000', '003']
    """
    return re.findall(r"\b00[0-4]\b", source)
