import numpy as np
import pytest
from pretrained.tiny import write_folder

from cllm_lib.casebook import faulty_encoder
from cllm_lib.casebook.encoders import ENCODER_FAULTS
from cllm_lib.pretrained import load_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(write_folder(tmp_path_factory.mktemp("tiny")), dtype="float64")


def signs(encoder, letter):
    """Right alone; right in company; does the order of words matter; does the first token see the last?"""
    short, long, turned, other = "the cat sat", "a dog sat on the mat on the mat .", "sat cat the", "the cat dog"
    right = encoder.embed([short])[0]
    (hidden, alone), (changed, _) = (faulty_encoder(letter, encoder, [words]) for words in (short, other))
    company, backwards = (faulty_encoder(letter, encoder, both)[1] for both in ([short, long], [short, turned]))
    return (
        np.allclose(alone[0], right, atol=1e-8),
        np.allclose(company[0], alone[0], atol=1e-8),
        not np.allclose(backwards[0], backwards[1], atol=1e-8),
        not np.array_equal(hidden[0, 0], changed[0, 0]),
    )


def test_each_fault_has_a_sign_of_its_own(encoder):
    found = {fault: signs(encoder, letter) for letter, fault in ENCODER_FAULTS.items()}
    assert found == {
        "no positions": (False, True, False, True),
        "norm first": (False, True, True, True),
        "causal mask": (False, True, True, False),
        "mean over padding": (True, False, True, True),
    }


def test_rows_have_length_1_and_an_unknown_letter_is_named(encoder):
    np.testing.assert_allclose(np.linalg.norm(faulty_encoder("A", encoder, ["the cat", "a dog"])[1], axis=1), 1.0)
    with pytest.raises(ValueError, match="unknown faulty encoder 'E': choose one of 'A', 'B', 'C', 'D'"):
        faulty_encoder("E", encoder, ["the cat"])
