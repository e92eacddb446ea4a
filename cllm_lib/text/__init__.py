"""Texts: corpora in, token ids and batches out; what counting alone can tell; tasks made to test what a model can learn."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "corpora": "Corpus UNKNOWN corpus_names data_file load_corpus patterns read_text tokenize windows",
        "counts": "conditional_entropy entropy",
        "ngrams": "KneserNeyTrigram",
        "tasks": "AssociativeRecall LastFollower LetterTask StepsBack",
    },
)
