"""Files: text in chunks without a word cut in two, and a true name for what is no text."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text.test_normalization import TEXTS

from cllm_lib import load_corpus
from cllm_lib.text.reading import BYTE_ORDER_MARK, text_chunks

ENGLISH = "The sky is blue. " * 40
RUSSIAN = "Небо синее, и море тоже. " * 40
CHINESE = "天空是蓝色的。\n" * 40


@given(TEXTS, st.integers(1, 9))
def test_chunks_are_the_text_and_end_at_white_space(tmp_path_factory, text, size):
    path = tmp_path_factory.mktemp("chunks") / "text.txt"
    text = text.replace("\0", "").encode("utf-8", "ignore").decode().lstrip("\ufeff")
    if text.startswith(("%PDF-", "{\\rtf")):
        return
    path.write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8"))
    chunks = list(text_chunks(path, size))
    assert "".join(chunks) == text or size < 3  # a mark of three bytes is not looked for in fewer
    assert all(chunk[-1] in " \n" for chunk in chunks[:-1])


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", ENGLISH)
    return file.getvalue()


def array():
    file = io.BytesIO()
    np.save(file, np.arange(9, dtype=np.int64))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content_and_words"),
    {
        "UTF-16 with a mark": (ENGLISH.encode("utf-16"), "is UTF-16 text, by the mark at its beginning: save it as UTF-8"),
        "UTF-16 the other way round, with a mark": (b"\xfe\xff" + RUSSIAN.encode("utf-16-be"), "is UTF-16 text"),
        "UTF-32 with a mark": (ENGLISH.encode("utf-32"), "is UTF-32 text, by the mark"),
        "UTF-16 without a mark": (ENGLISH.encode("utf-16-le"), "looks like UTF-16 text without a mark: save it as UTF-8"),
        "UTF-16 the other way round": (ENGLISH.encode("utf-16-be"), "looks like UTF-16"),
        "Russian in UTF-16": (RUSSIAN.encode("utf-16-le"), "looks like UTF-16"),
        "Chinese in UTF-16": (CHINESE.encode("utf-16-le"), "looks like UTF-16"),
        "Chinese in UTF-16 the other way round": (CHINESE.encode("utf-16-be"), "looks like UTF-16"),
        "UTF-32 without a mark": (RUSSIAN.encode("utf-32-le"), "looks like UTF-32"),
        "UTF-32 the other way round": (CHINESE.encode("utf-32-be"), "looks like UTF-32"),
        "one NUL in a text": (ENGLISH.encode() + b"\0" + ENGLISH.encode(), r"is no text \(byte 680 is NUL"),
        "a few NULs in a text": (b"the\0sky " * 90, r"is no text \(byte 3 is NUL"),
        "NULs at the end": (RUSSIAN.encode() + bytes(9000), "ends in NUL bytes, from byte 1720 on, as a file not written to its end"),
        "one NUL": (b"\0", "ends in NUL bytes, from byte 0 on"),
        "nothing but NULs": (bytes(100), "ends in NUL bytes, from byte 0 on"),
        "NULs far behind": (ENGLISH.encode() * 9000 + bytes(7), "ends in NUL bytes, from byte 6120000 on"),
        "Latin-1": ("grün ".encode("latin-1") * 9, r"not UTF-8 text \(byte 2 is 0xfc\): save it as UTF-8"),
        "Latin-1 far behind": (ENGLISH.encode() * 9000 + b"gr\xfcn", r"not UTF-8 text \(byte 6120002 is 0xfc\)"),
        "Chinese in GBK": ("天空是蓝色的。".encode("gbk") * 40, r"not UTF-8 text \(byte 0"),
        "gzip": (gzip.compress(ENGLISH.encode()), "is compressed by gzip: unpack it first"),
        "bzip2": (bz2.compress(ENGLISH.encode()), "is compressed by bzip2"),
        "xz": (lzma.compress(ENGLISH.encode()), "is compressed by xz"),
        "a Word document": (zipped(), "is a ZIP archive, as .docx"),
        "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(30), r"is a picture \(PNG\), no text"),
        "an array": (array(), "holds an array of NumPy"),
        "a PDF": (b"%PDF-1.7\n1 0 obj\n", "is a PDF, no text: save it as plain text"),
        "rich text": (b"{\\rtf1\\ansi The sky is blue}", "is an RTF document"),
        "a pointer of git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "`git lfs pull` fetches that"),
        "numbers": (np.arange(500, dtype=np.int64).tobytes(), "text.txt"),
    }.items(),
)
def test_what_is_no_text_is_called_by_its_name(name, content_and_words, tmp_path):
    content, words = content_and_words
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        load_corpus(tmp_path / "text.txt")
    assert "\n" not in str(error.value), name


@given(
    st.binary(max_size=300) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=20).map(b"sky \n".__add__)
)
@settings(max_examples=4 * settings().max_examples)
def test_any_bytes_are_a_sound_corpus_or_one_sentence(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "text.txt"
    path.write_bytes(data)
    sentences = []
    for unit in ("word", "character"):
        try:
            corpus = load_corpus(path, unit=unit)
        except ValueError as error:
            sentences.append(str(error))
            continue
        assert corpus.vocabulary[0] == "<unk>"
        assert len(set(corpus.vocabulary)) == len(corpus.vocabulary)
        assert corpus.tokens.dtype == np.int64
        assert len(corpus.tokens) > 0
        assert set(corpus.tokens.tolist()) | {0} == set(range(len(corpus.vocabulary)))
        counts = np.bincount(corpus.tokens.astype(np.intp), minlength=len(corpus.vocabulary))[1:]
        assert (np.diff(counts) <= 0).all()
        np.testing.assert_array_equal(corpus.encode(corpus.decode(corpus.tokens)), corpus.tokens)
    if not sentences:
        corpus = load_corpus(path, unit="bpe")
        assert corpus.decode(corpus.tokens).encode() == data.removeprefix(BYTE_ORDER_MARK)
    assert all("text.txt" in sentence and "\n" not in sentence for sentence in sentences)


def opened():
    return io.StringIO("the sky is blue")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"the sky is blue", "b'the sky is blue' is no text: give one of 'sayings'"),
        (bytearray(b"sky"), "is no text: give one of"),
        (5, "5 is no text: give one of 'sayings', .*, the path of a UTF-8 text file, or several"),
        (None, "None is no text"),
        (3.5, "3.5 is no text"),
        ([1, 2], "1 is no text"),
        (["sayings", b"prose"], "b'prose' is no text"),
        (np.arange(3, dtype=np.int64), "is no text"),
        (opened(), "is no text"),
        ({"text": 5}.values(), "5 is no text"),
        ([], "no text was named: give one of"),
        ("", "the name of the text is empty"),
        ("the sky is blue and the sea is green", "there is no file 'the sky is .*if that is a text itself, write it into a file"),
        ("The sky is blue. The sea is green.", "there is no file"),
        ("the\nsky.txt", "there is no file"),
        ("sky " * 5000, "there is no file 'sky sky"),
        ("天" * 300, "there is no file"),
        ("nul\0.txt and more", "there is no file"),
    ],
    ids=[
        *("bytes", "a bytearray", "a number", "nothing", "a float", "numbers", "bytes among names", "an array", "an open file"),
        *("a number in a view", "no names", "an empty name", "a sentence", "sentences", "two lines", "a long text", "a long word"),
        "a NUL in a name",
    ],
)
def test_what_is_no_name_and_no_path_gets_one_short_sentence(source, words):
    with pytest.raises(ValueError, match=words) as error:
        load_corpus(source)
    assert len(str(error.value)) < 220
    assert "\n" not in str(error.value)
