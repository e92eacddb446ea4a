"""What a batch says of itself: whether its targets are the words that follow, and whether there is anything to learn in it."""

import numpy as np

MOSTLY = 0.5  # of all targets; the most frequent word of a text is some 7 % of it
NEXT, ELSEWHERE = "the targets are the words that follow", "the targets do not follow from the words, so they were not judged"


def what_targets_are(tokens, targets):
    """Compare the targets of a batch with its words.

    Parameters
    ----------
    tokens, targets : ndarray of int, shape (B, T)

    Returns
    -------
    int or None
        How many words ahead every target stands: 1 in language modelling, 0 where the targets are the words themselves, -1
        where they are the words before. None if no such number fits, or if two do, as in a text of one word.
    """
    length = tokens.shape[1]
    fitting = [ahead for ahead in range(-min(3, length - 1), length) if _stand_ahead(tokens, targets, ahead)]
    if 1 in fitting:
        return 1
    return fitting[0] if len(fitting) == 1 else None


def _stand_ahead(tokens, targets, ahead):
    """Whether every target is the word that many places on, where that can be seen at 4 places and more."""
    if ahead >= 0:
        words, wanted = tokens[:, ahead:], targets[:, : targets.shape[1] - ahead]
    else:
        words, wanted = tokens[:, :ahead], targets[:, -ahead:]
    return words.size >= 4 and bool((words == wanted).all())


def finding_in_batch(tokens, targets, vocab_size=None, vocabulary=None):
    """One sentence about a batch that teaches something else than language, or nothing.

    Parameters
    ----------
    tokens, targets : array_like of int, shape (B, T)
    vocab_size : int, optional
        Words of the model; of very few, one is often in the majority.
    vocabulary : sequence of str, optional
        The words of the text that the batch is of.

    Returns
    -------
    str
    """
    tokens, targets = np.asarray(tokens), np.asarray(targets)
    both = np.concatenate([tokens.ravel(), targets.ravel()])
    if vocabulary is not None and (beyond := both[both >= len(vocabulary)]).size:
        return (
            f"{beyond.size} of {both.size} ids lie beyond the {len(vocabulary):,} words of the text, the largest is {beyond.max():,}: "
            "the batch is of another text, or was numbered by another vocabulary."
        )
    ahead = what_targets_are(tokens, targets)
    if ahead == 0:
        return "The targets are the inputs themselves: the model learns to copy, and its loss falls towards 0. Shift them by one word."
    if ahead is not None and ahead != 1:
        where = f"{ahead} words ahead" if ahead > 0 else f"{-ahead} before" if ahead < -1 else "the word before"
        return f"Each target stands {where} of its input instead of one ahead: the targets were shifted {_how_often(ahead)}."
    ids, counts = np.unique(targets, return_counts=True)
    share = counts.max() / targets.size
    if targets.size >= 8 and share > max(MOSTLY, 3 / (vocab_size or targets.size)):
        most = ids[counts.argmax()]
        word = f" ({vocabulary[most]!r})" if vocabulary is not None else ""
        return (
            f"{share:.0%} of the targets are id {most}{word}: padding, or words that the vocabulary does not know? "
            "A model that always says it looks good. Look at the text as the model sees it."
        )
    return ""


def _how_often(ahead):
    return "twice, once by the text and once more in the loss" if ahead == 2 else "the wrong way" if ahead < 0 else "too far"
