"""What the five documents say, each claim with its measurement and a verdict.

    claims.show("12")             # what one chapter tests
    claims.table()                # all of it, in order of document
    claims.runs("suspects")       # the runs an experiment stored
    claims.recompute("suspects")  # a few of them, made now
    claims.try_out(...)           # a claim of your own
    claims.changes("layer")       # what changed since 2017, a family of its own

:mod:`~cllm_lib.claims.registry` registers experiments and reads the runs that `make evidence` stored;
:mod:`~cllm_lib.claims.judging` turns them into rows, by the answers to questions that were written before the runs
(:mod:`~cllm_lib.claims.questions`); :mod:`~cllm_lib.claims.quotes` finds each claim in its document, word for word. The other
modules hold the claims, mostly an experiment each with the judges that read its runs; they are found by being there. A verdict
is never typed: each follows from its measurement.
"""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "judging": "FAILS HOLDS PARTLY UNDECIDED UNTESTABLE Row exact fresh_lines kind_of measured rows show table timed "
        "untestable verdict write_effects write_table",
        "changed": "Change changes write_changes",
        "questions": "Effect Question above below comparisons described every family some",
        "multiverse": "ways",
        "own_words": "OwnSentence own_sentences",
        "registry": "EXPERIMENTS Run evidence_file experiment fresh reading recompute runs stored values",
        "trial": "try_out",
        "epochs": "HORIZONS RATES best_side curves epochs_of_arrival epochs_to",
    },
)
