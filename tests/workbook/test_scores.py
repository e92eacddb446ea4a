import numpy as np
import pytest

from cllm_lib.workbook.scores import score

LOSSES = [8.4, *[5.0] * 8, 1.3, *[0.5] * 19, 0.3]  # epochs 1, 10 and 30 are those of the chapter


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([8.4, 1.3, 0.3], "Within 0.5 at 3 of 3; you were nearer than the documents at both of theirs."),
        ({"a": 8.0, "b": 3.0, "c": 0.5}, "Within 0.5 at 2 of 3; you were nearer than the documents at both of theirs."),
        (np.array([9.2, 6.0, 4.0]), "Within 0.5 at 0 of 3; you and the documents share epochs 1 and 10, one each."),
        ([7.5, 5.0, 4.0], "Within 0.5 at 0 of 3; you and the documents are equally near at epochs 1 and 10."),
        ([7.5, 1.3, 4.0], "Within 0.5 at 1 of 3; at epoch 1 you and the documents are equally near, at the other you were nearer."),
        (("5", "8", "4"), "Within 0.5 at 0 of 3; the documents were nearer at epochs 1 and 10."),
        (
            [9.2, 4.0, 2.0],
            "Within 0.5 at 0 of 3; you were nearer than the documents at both of theirs, and a picture to correct is worth having.",
        ),
    ],
)
def test_the_score_is_kind_and_right(numbers, words, capsys):
    score(numbers, LOSSES)
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == words
    assert len(said) == 4


def test_the_score_gives_each_distance(capsys):
    score([8.0, 2.0, 1.0], LOSSES)
    assert capsys.readouterr().out.splitlines()[:3] == [
        "epoch  1: you 8.00, measured 8.40: off by 0.40",
        "epoch 10: you 2.00, measured 1.30: off by 0.70",
        "epoch 30: you 1.00, measured 0.30: off by 0.70",
    ]


def test_without_numbers_the_documents_are_scored(capsys):
    score(None, LOSSES)
    assert capsys.readouterr().out.splitlines() == [
        "No numbers were written down, which is fine. The documents' own, made before any run, were these:",
        "epoch  1: promised 7.50, measured 8.40: off by 0.90",
        "epoch 10: promised 5.00, measured 1.30: off by 3.70",
    ]
