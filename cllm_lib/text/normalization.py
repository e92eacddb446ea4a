r"""What every text goes through before its words get ids: one spelling for what looks the same, and words without punctuation.

>>> tokenize("\ufeff\u201cThe sky\u2019s blue,\u201d he said \u2014 or so\u2026")
['the', "sky's", 'blue', 'he', 'said', '—', 'or', 'so']
"""

import re
import string
import unicodedata

from cllm_lib.checks import one_of

UNKNOWN = "<unk>"
FORMS = {"NFC": "NFC", "NFKC": "NFKC"}
AS_IT_STANDS = "none"  # what a corpus of byte pairs says in the place of a form

# Control characters but for white space; soft hyphens, zero-width spaces, marks of byte order and of writing direction.
_IGNORED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+"
)
# Joiners spell words in the scripts from Arabic to Myanmar, in Khmer and Mongolian, and pictures made of several.
_JOINED = "\u0600-\u109f\u1780-\u18af\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
_VIRAMAS = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca"  # behind these a joiner may end a word
_IDLE_JOINERS = re.compile(f"(?<![{_JOINED}\u200c\u200d])[\u200c\u200d]+|\u200c(?![{_JOINED}])|(?<![{_VIRAMAS}])\u200d(?![{_JOINED}])")
_BREAKS = re.compile("[—―…⸺⸻]|--+|\\.\\.\\.+")
_SPELLINGS = str.maketrans({"’": "'", "‐": "-", "‑": "-"})
FIRST_WITHOUT_SPACES = "\u0e00"  # of Thai
# Scripts without spaces, and the letters that a word of them seldom exceeds.
_WITHOUT_SPACES = {
    re.compile(
        "[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
    ): 4,
    re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf]"): 12,
}


def normalize_text(text, form="NFC"):
    r"""One spelling for what looks the same: the step before anything else is done with a text.

    1. Line ends become "\n".
    2. What nobody sees goes: control characters, soft hyphens, zero-width spaces, byte order marks inside the text, marks of
       writing direction.
    3. Unicode's normal form: "é" is one character, whether it was written as one or as "e" and an accent.
    4. The zero-width joiner and non-joiner stay where they spell, in Persian, in the scripts of India and in composed
       pictures (👩‍💻), and go everywhere else.

    Done twice, it changes nothing more.

    Parameters
    ----------
    text : str
    form : {"NFC", "NFKC"}
        NFKC also writes alike what only looks different: "ﬁ" as "fi", "Ａ" as "A", "²" as "2", "…" as "...".

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If `text` is no string, or there is no such form.

    Notes
    -----
    Unicode Standard Annex 15 (normal forms); Annex 31, section 2.3, for where joiners make a difference.
    """
    if not isinstance(text, str):
        raise ValueError(f"a text is a string, and this is {type(text).__name__}: of bytes, data.decode('utf-8') makes one")
    form = one_of(form, FORMS, "normalization")
    if text.isascii() and text.isprintable():
        return text
    text = _IGNORED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if text.isascii():
        return text
    text = unicodedata.normalize(form, text)
    if "\u200c" in text or "\u200d" in text:
        text = unicodedata.normalize(form, _IDLE_JOINERS.sub("", text))
    return text


def tokenize(text, unit="word", normalization="NFC"):
    """Cut a text into tokens, after :func:`normalize_text`.

    Parameters
    ----------
    text : str
    unit : {"word", "character"}
        Words: cut at white space, and where a dash or an ellipsis stands between two words; in lower case; without the
        punctuation of any script at both ends. Inside a word apostrophes and hyphens stay, all written ' and -. What is
        nothing but punctuation is a word. Characters: everything, spaces and capitals too.
    normalization : {"NFC", "NFKC"}

    Returns
    -------
    list of str
        "<unk>" in the text is one token, that of an unknown word.

    >>> tokenize("The sky, it's said, is blue = true.")
    ['the', 'sky', "it's", 'said', 'is', 'blue', '=', 'true']
    """
    return one_of(unit, UNITS, "unit")(text, normalization)


def words_of(text, form="NFC"):
    """The words of a text; see :func:`tokenize`."""
    return [word for piece in small_letters(text, form).split() for word in words_in(piece)]


def small_letters(text, form="NFC"):
    """A text normalised and in lower case, with one apostrophe and one hyphen."""
    lower = normalize_text(text, form).lower()
    if lower.isascii():
        return lower
    return unicodedata.normalize(form, lower).translate(_SPELLINGS)  # small letters may compose where capitals did not


def words_in(piece):
    """The words in what stands between white space in a text that :func:`small_letters` made: one, mostly."""
    word = piece.strip(string.punctuation)
    if word.isalnum() and word != "unk":
        return [word]
    bare = [_without_edges(part) for part in _BREAKS.split(piece)]
    return [UNKNOWN if word == "unk" and UNKNOWN in piece else word for word in bare if word] or [piece]


def characters_of(text, form="NFC"):
    """The characters of a text; see :func:`tokenize`."""
    first, *others = normalize_text(text, form).split(UNKNOWN)
    return [*first, *(token for part in others for token in (UNKNOWN, *part))]


UNITS = {"word": words_of, "character": characters_of}
PLURALS = {"word": "words", "character": "characters", "bpe": "byte pairs"}
SEPARATORS = {"word": " ", "character": "", "bpe": ""}  # what stands between tokens when they are read aloud


def is_punctuation(character):
    """Whether Unicode calls it punctuation, of whatever script; of ASCII, symbols count, too.

    >>> [character for character in "a1!,$“。،।’é" if is_punctuation(character)]
    ['!', ',', '$', '“', '。', '،', '।', '’']
    """
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _without_edges(word):
    start, stop = 0, len(word)
    while start < stop and is_punctuation(word[start]):
        start += 1
    while start < stop and is_punctuation(word[stop - 1]):
        stop -= 1
    return word[start:stop]


def lacks_spaces(counts):
    """Whether most of a text, given as counts of its words, is of a script that has no spaces, and has none.

    Chinese, Japanese, Thai, Lao, Khmer and others; a text of these whose words were parted beforehand has spaces.
    """
    everything = sum(len(word) * count for word, count in counts.items())
    unparted = 0
    for word, count in counts.items():
        if not word.isascii() and max(word) >= FIRST_WITHOUT_SPACES and _is_unparted(word):
            unparted += len(word) * count
    return 2 * unparted > everything


def _is_unparted(word):
    return any(len(script.findall(word)) > longest for script, longest in _WITHOUT_SPACES.items())
