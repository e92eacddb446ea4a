"""One spelling for what looks the same, and words without punctuation: properties over any text, and examples of many scripts."""

import string
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cllm_lib.text import normalize_text, tokenize
from cllm_lib.text.normalization import is_punctuation, lacks_spaces, small_letters, words_in

FORMS = st.sampled_from(["NFC", "NFKC"])
# Much of what makes trouble, more often than chance would bring it.
TROUBLE = st.text(
    st.sampled_from("aeéSΣσİǰJ\u0301\u030c\u0338=≠ﬁＡ²… \t\r\n\u00a0\u3000\u2028\x00\x07\u00ad\u034f\u200b\u200e\ufeff—-.'’“”،।。<unk>")
    | st.sampled_from(
        "\u200c\u200d\u0645\u06cc\u0653\u0628\u0915\u094d\u0937\u09cd\u093c\u4e2d\ufe0f\U0001f469\U0001f4bb☠〈\u2329\uac00\u1100\u1161"
    )
)
TEXTS = st.one_of(st.text(), TROUBLE)


@given(TEXTS, FORMS)
@example("a\u200d\u0301\u200d\u0915", "NFC")
@example("\u0628\u200c\u200b\u200c\u0628", "NFC")
def test_normalising_twice_is_normalising_once_and_gives_the_form_that_was_asked_for(text, form):
    once = normalize_text(text, form)
    assert normalize_text(once, form) == once
    assert unicodedata.is_normalized(form, once)
    assert not set(once) & set("\r\0\u00ad\u200b\u200e\u2060\ufeff")


@given(TEXTS, st.sampled_from("\u200b\u2060\ufeff\u00ad\u200e\u202a\x07"), st.data())
def test_what_nobody_sees_changes_nothing_wherever_it_stands(text, unseen, data):
    place = data.draw(st.integers(0, len(text)))
    assert normalize_text(text[:place] + unseen + text[place:]) == normalize_text(text) or "\r" in text  # a line end may be cut in two


@given(TEXTS)
def test_both_spellings_of_a_character_are_one(text):
    assert normalize_text(unicodedata.normalize("NFD", text)) == normalize_text(unicodedata.normalize("NFC", text))


@given(TEXTS, FORMS)
def test_words_have_no_punctuation_at_their_edges_and_no_white_space(text, form):
    for word in tokenize(text, normalization=form):
        assert word.split() == [word]
        if word != "<unk>" and not all(map(is_punctuation, word)):
            assert not is_punctuation(word[0])
            assert not is_punctuation(word[-1])


@given(TEXTS, FORMS)
@example("ΟΔΟΣ\u00ad, ΣΣ", "NFC")
@example("J\u030c İ", "NFC")
def test_words_read_again_are_the_same_words(text, form):
    words = tokenize(text, normalization=form)
    assert tokenize(" ".join(words), normalization=form) == words


@given(TEXTS, FORMS)
def test_characters_read_again_are_the_same_characters(text, form):
    tokens = tokenize(text, "character", form)
    assert "".join(tokens) == normalize_text(text, form)
    assert tokenize("".join(tokens), "character", form) == tokens
    assert all(len(token) == 1 or token == "<unk>" for token in tokens)


@given(TEXTS, FORMS)
def test_a_text_has_the_words_of_its_pieces(text, form):
    """So a large text may be cut into pieces first, each different one only once."""
    pieces = small_letters("\n".join(text.split()), form).split("\n")
    assert [word for line in pieces for piece in line.split() for word in words_in(piece)] == tokenize(text, normalization=form)


@given(st.text(st.sampled_from(string.ascii_letters + "'- \n;:,!?()\"."), max_size=60))
def test_plain_english_is_cut_as_ever(text):
    """By the three methods of `str` that a reader would write, where no dash or dots part words."""
    expected = [word.strip(string.punctuation) or word for word in text.lower().split()]
    if "--" not in text and "..." not in text:
        assert tokenize(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("“Hello,” she said — ‘the sky’s blue’…", ["hello", "she", "said", "—", "the", "sky's", "blue"]),
        ("the sky—blue as ever—was … wide", ["the", "sky", "blue", "as", "ever", "was", "…", "wide"]),
        ("wait...what?! no--yes -- maybe", ["wait", "what", "no", "yes", "--", "maybe"]),
        ("«Ça va?» „Größe“ ‹oui› ¿Qué? ¡No!", ["ça", "va", "größe", "oui", "qué", "no"]),
        ("السماء، السماء؟ السماء؛ «السماء»", ["السماء"] * 4),
        ("नमस्ते। नमस्ते॥", ["नमस्ते"] * 2),
        ("天空。 「天空」 （天空）、", ["天空"] * 3),
        ("Երկինք։ ሰማይ፡ ცა, שָׁמַיִם׃", ["երկինք", "ሰማይ", "ცა", "שָׁמַיִם"]),
        ("well‑known well‐known well-known", ["well-known"] * 3),
        ("don’t don't l’eau", ["don't", "don't", "l'eau"]),
        ("می\u200cروم می\u200cروم\u200c می روم", ["می\u200cروم", "می\u200cروم", "می", "روم"]),
        ("क्\u200dष क्ष s\u200dky Auf\u200clage", ["क्\u200dष", "क्ष", "sky", "auflage"]),
        ("\ufeffthe \u200b sky\u2060 is\u200b bl\u00adue", ["the", "sky", "is", "blue"]),
        ("cafe\u0301 café CAFÉ", ["café"] * 3),
        ("the <unk> <UNK>, unk (unk)", ["the", "<unk>", "<unk>", "unk", "unk"]),
        ("$5 50% C++ a=b", ["5", "50", "c", "a=b"]),
        (". a b b a", [".", "a", "b", "b", "a"]),
        ("", []),
    ],
)
def test_words_of_many_scripts(text, words):
    assert tokenize(text) == words


def test_nfkc_unites_what_only_looks_different():
    assert tokenize("ﬁne Ａ x² wait…what", normalization="NFKC") == ["fine", "a", "x2", "wait", "what"]
    assert tokenize("ﬁne Ａ x²") == ["ﬁne", "ａ", "x²"]


def test_composed_pictures_stay_whole():
    assert tokenize("a 👩\u200d💻 ❤\ufe0f\u200d🔥!") == ["a", "👩\u200d💻", "❤\ufe0f\u200d🔥"]


def test_every_punctuation_mark_of_unicode_comes_off():
    marks = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)).startswith("P")]
    assert len(marks) > 800
    for mark in marks:
        assert tokenize(f"{mark}sky{mark}") == ["sky"], hex(ord(mark))


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("天空是蓝色的。" * 9, True),
        ("空は青い。なぜなら、空気が光を散らすからだ。", True),
        ("ท้องฟ้าเป็นสีฟ้าเพราะอากาศกระจายแสง", True),
        ("床前明月光\n疑是地上霜\n举头望明月\n低头思故乡", True),
        ("天空 是 蓝色 的 。 海 也 是 蓝色 的 。", False),
        ("ท้องฟ้า เป็น สีฟ้า เพราะ อากาศ กระจาย แสง", False),
        ("하늘은 파랗다 바다도 파랗다", False),
        ("the sky is blue, and in Chinese that is 天空是蓝色的", False),
        ("donaudampfschifffahrtsgesellschaft", False),
        ("नभ नीला है क्योंकि हवा प्रकाश बिखेरती है", False),
        ("", False),
    ],
)
def test_scripts_without_spaces_are_known_unless_their_words_were_parted(text, without):
    words = tokenize(text)
    assert lacks_spaces({word: words.count(word) for word in words}) is without


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: normalize_text(b"sky"), "a text is a string, and this is bytes"),
        (lambda: tokenize(5), "a text is a string, and this is int"),
        (lambda: normalize_text("sky", "nfc"), "unknown normalization 'nfc': choose one of 'NFC', 'NFKC'"),
        (lambda: tokenize("sky", "letter"), "unknown unit 'letter': choose one of 'word', 'character'"),
    ],
    ids=["bytes", "a number", "a form that is none", "a unit that is none"],
)
def test_what_is_no_text_gets_one_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()
