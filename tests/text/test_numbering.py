"""Counting and numbering in chunks give what cutting the whole text gives."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text.test_normalization import FORMS, TEXTS

from cllm_lib.text import tokenize
from cllm_lib.text.numbering import COUNTED


@pytest.mark.parametrize("unit", list(COUNTED))
@given(chunks=st.lists(TEXTS.map(lambda text: text.replace("\r", "") + " "), max_size=4), form=FORMS)
def test_it_is_the_text_token_for_token(unit, chunks, form):
    counts, encode = COUNTED[unit](iter(chunks), form)
    tokens = tokenize("".join(chunks), unit, form)
    assert counts == Counter(tokens)
    id_of = {token: i for i, token in enumerate(counts)}
    assert encode(id_of).tolist() == [id_of[token] for token in tokens]
    assert not encode({}).any()
    assert encode({}).dtype == "int64"
