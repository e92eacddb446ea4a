"""Texts: corpora in, token ids and batches out; what counting alone can tell; tasks made to test what a model can learn."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "corpora": "Corpus corpus_names data_file load_corpus patterns read_text windows",
        "counts": "conditional_entropy entropy",
        "ngrams": "KneserNeyTrigram",
        "normalization": "UNKNOWN normalize_text tokenize",
        "tasks": "AssociativeRecall LastFollower LetterTask StepsBack",
    },
)
