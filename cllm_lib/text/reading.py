"""From a file to text: in chunks, as UTF-8, and what is no text is called by its name."""

import os
from pathlib import Path

CHUNK = 2**21
LONGEST_NAME = 255  # of a file, on nearly all systems
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MARKS = {  # those of four bytes first, for they begin with those of two
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
NEVER_MEANT = {  # readable characters, and still not the text itself
    b"%PDF-": "is a PDF, no text: save it as plain text",
    b"{\\rtf": "is an RTF document, no plain text: save it as plain text",
    b"version https://git-lfs.github.com/": "is a pointer of git-lfs, not the text itself: `git lfs pull` fetches that",
}
BINARIES = {
    b"\x1f\x8b": "is compressed by gzip: unpack it first",
    b"BZh": "is compressed by bzip2: unpack it first",
    b"\xfd7zXZ\0": "is compressed by xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd: unpack it first",
    b"7z\xbc\xaf": "is a 7-Zip archive: unpack it first",
    b"PK\x03\x04": "is a ZIP archive, as .docx, .odt, .epub and .pt files are, too: unpack it, or save it as plain text",
    b"\xd0\xcf\x11\xe0": "is a document of an old Office program: save it as plain text",
    b"\x89PNG": "is a picture (PNG), no text",
    b"\xff\xd8\xff": "is a picture (JPEG), no text",
    b"GIF8": "is a picture (GIF), no text",
    b"\x7fELF": "is a program, no text",
    b"MZ": "is a program, no text",
    b"SQLite format 3\0": "is an SQLite database, no text",
    b"\x93NUMPY": "holds an array of NumPy, no text",
    b"PAR1": "is a Parquet table: write its column of texts into a text file",
    b"GGUF": "holds a model (GGUF), no text",
}


def text_chunks(path, size=CHUNK):
    """The text of a UTF-8 file, piece by piece, each ending after a space or a line end, so that no word is cut.

    Parameters
    ----------
    path : str or path
    size : int
        Bytes to read at a time; without a space a piece grows longer.

    Yields
    ------
    str

    Raises
    ------
    ValueError
        If the file is not UTF-8, or no text; the error says what it looks like, and what to do.
    """
    path, done, kept = Path(path), 0, []
    with path.open("rb") as file:
        while data := file.read(size):
            if not done and not kept:
                _refuse_what_is_not_meant(path, data)
                if data.startswith(BYTE_ORDER_MARK):
                    done, data = len(BYTE_ORDER_MARK), data[len(BYTE_ORDER_MARK) :]
            cut = max(data.rfind(b" "), data.rfind(b"\n")) + 1  # never within a character: those bytes are above 127
            if cut:
                yield _decoded(b"".join([*kept, data[:cut]]), path, done)
                done, kept, data = done + sum(map(len, kept)) + cut, [], data[cut:]
            kept.append(data)
    if rest := b"".join(kept):
        yield _decoded(rest, path, done)


def _refuse_what_is_not_meant(path, head):
    for mark, kind in MARKS.items():
        if head.startswith(mark):
            raise ValueError(f"{path.name} is {kind} text, by the mark at its beginning: save it as UTF-8")
    for beginning, words in NEVER_MEANT.items():
        if head.startswith(beginning):
            raise ValueError(f"{path.name} {words}")


def _decoded(data, path, done):
    """Bytes as text, or an error that names what they are; `done` bytes were read before them."""
    null = data.find(b"\0")
    if null >= 0:
        raise ValueError(_named(path) or _about_nulls(path, done + null))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        at, byte = done + error.start, data[error.start]
        raise ValueError(_named(path) or f"{path.name} is not UTF-8 text (byte {at} is 0x{byte:02x}): save it as UTF-8") from None


def _named(path):
    """What a file that is no UTF-8 looks like by its first bytes; an empty string if like nothing known."""
    with path.open("rb") as file:
        head = file.read(4096)
    for beginning, words in BINARIES.items():
        if head.startswith(beginning):
            return f"{path.name} {words}"
    encoding = _wide_encoding(head)
    return encoding and f"{path.name} looks like {encoding} text without a mark: save it as UTF-8"


def _wide_encoding(head):
    """The Unicode encoding of two or four bytes a character that makes readable text of these, by its name; or an empty string."""
    odd, even = head[1::2].count(0), head[::2].count(0)
    stray = 4 * (odd + even) < len(head) and _is_readable(head.replace(b"\0", b""), "utf-8")
    if stray or not odd + even:
        return ""
    candidates = {"utf-32-le": "UTF-32", "utf-32-be": "UTF-32", "utf-16-le" if odd > even else "utf-16-be": "UTF-16"}
    return next((name for encoding, name in candidates.items() if _is_readable(head, encoding)), "")


def _is_readable(data, encoding):
    """Whether nearly all of it are characters to be seen, and white space."""
    text = data.decode(encoding, "replace")
    odd = sum(character == "\ufffd" or not (character.isprintable() or character.isspace()) for character in text)
    return 0 < len(text) >= 50 * odd


def _about_nulls(path, at):
    with path.open("rb") as file:
        file.seek(at)
        padded = not any(data.strip(b"\0") for data in iter(lambda: file.read(CHUNK), b""))
    if padded:
        return f"{path.name} ends in NUL bytes, from byte {at} on, as a file not written to its end does: copy it anew, or cut them off"
    return f"{path.name} is no text (byte {at} is NUL, which no text has): give a UTF-8 text file"


def checked_sources(source, names):
    """What was given as a text, as a list of names and paths; `names` is the sentence of those that are known.

    Raises
    ------
    ValueError
        If it is none, or something else: bytes, a number, an open file.
    """
    what = f"give one of {names}, the path of a UTF-8 text file, or several"
    if isinstance(source, str | os.PathLike):
        source = [source]
    elif isinstance(source, bytes | bytearray | memoryview) or not hasattr(source, "__iter__") or hasattr(source, "read"):
        raise ValueError(f"{_shortened(source)} is no text: {what}")
    sources = list(source)
    for one in sources:
        if not isinstance(one, str | os.PathLike):
            raise ValueError(f"{_shortened(one)} is no text: {what}")
    if not sources:
        raise ValueError(f"no text was named: {what}")
    return sources


def checked_path(source, names):
    """The path of a file that is there. Raises as :func:`cllm_lib.text.load_corpus` does."""
    path = Path(source)
    if source == "":
        raise ValueError(f"the name of the text is empty: give one of {names}, or the path of a text file")
    if os.path.isdir(path):
        raise ValueError(f"{source!s} is a folder: name the text files in it, one by one")
    if os.path.exists(path):
        return path
    spaced = " " in str(source) and (not path.suffix or " " in path.suffix)
    if isinstance(source, str) and (spaced or "\n" in source or len(path.name) > LONGEST_NAME):
        raise ValueError(f"there is no file {_shortened(source)}; if that is a text itself, write it into a file and give the path of that")
    if isinstance(source, str) and path.suffix == "" and path.name == source:
        raise ValueError(f"unknown corpus {_shortened(source)}: choose one of {names}, or give the path of a text file")
    raise FileNotFoundError(f"no text file at {source!s}: check the path (relative paths start at {Path.cwd().name!r})")


def _shortened(value):
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
