"""Texts: corpora in, token ids and batches out; what counting alone can tell; tasks made to test what a model can learn."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "bpe": "BytePairTokenizer bytes_as_characters characters_as_bytes train_bpe",
        "corpora": "Corpus corpus_names data_file load_corpus patterns read_text windows",
        "counts": "bits_per_byte conditional_entropy entropy",
        "ngrams": "KneserNeyTrigram",
        "normalization": "UNKNOWN normalize_text tokenize",
        "pretokens": "pretokenize",
        "tasks": "AssociativeRecall LastFollower LetterTask StepsBack",
    },
)
