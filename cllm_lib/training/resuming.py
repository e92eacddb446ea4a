"""Going on from a checkpoint: what has to be the same as before, and what a file cannot hold and so has to be given again."""

from dataclasses import replace
from pathlib import Path

from cllm_lib.checks import functions
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.checkpoint import CheckpointError, advice, load_checkpoint, regularizer_name
from cllm_lib.training.hooks import name_of
from cllm_lib.training.optimizers import OPTIMIZERS
from cllm_lib.training.schedules import make_schedule


def resume_training(trainer_type, path, corpus, schedule=None, optimizer=None, regularizer=None, hooks=(), parts=None):
    """See :meth:`cllm_lib.training.trainer.Trainer.resume`."""
    hooks = functions(hooks, "hooks")
    model, state = load_checkpoint(path, **(parts or {}))
    if corpus is None or isinstance(corpus, str | Path | list | tuple):
        corpus = corpus_of(state, corpus)
    _compare_texts(path, state, corpus)
    _compare_regularizers(path, state, regularizer)
    _compare_hooks(path, state, hooks)
    try:
        optimizer, schedule = _optimizer(path, state, optimizer), _schedule(path, state, schedule)
        given = {"optimizer": optimizer, "schedule": schedule, "regularizer": regularizer, "hooks": hooks}
        trainer = trainer_type(model, corpus, **given, **state.settings)
        trainer.seek(state.generator, state.position)
    except CheckpointError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} holds settings that make no trainer here ({error}). {advice(path)}") from None
    trainer.history, trainer.best, trainer.steps, trainer.run_ends = state.history, state.best, state.steps, state.run_ends
    trainer.last_checkpoint = path
    return trainer


def corpus_of(state, sources=None):
    """The text a checkpoint was trained on, numbered and cut as it was then.

    Parameters
    ----------
    state : TrainingState
    sources : str, path, or list of them, optional
        As for :func:`~cllm_lib.text.corpora.load_corpus`, where the names in the file no longer lead to the texts.

    Returns
    -------
    Corpus

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`~cllm_lib.text.corpora.load_corpus`.
    """
    reading = state.text | ({"source": sources} if sources else {})
    corpus = load_corpus(**reading, vocabulary=state.vocabulary)
    return replace(corpus, n_validation=min(state.n_validation, int(0.9 * len(corpus.tokens))))  # of a shorter text some is left


def _compare_texts(path, state, corpus):
    mine, theirs = state.vocabulary, tuple(corpus.vocabulary)
    if mine != theirs:
        first = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
        words = [repr(words[first]) if first < len(words) else "no word" for words in (mine, theirs)]
        raise CheckpointError(
            f"{path} knows {len(mine)} words, {corpus.name!r} has {len(theirs)}, and they part at id {first}: {words[0]} there, "
            f"{words[1]} here. Resume with the text it was trained on ({state.corpus_name!r})"
        )
    if state.fingerprint != corpus.fingerprint:
        raise CheckpointError(
            f"{path} was trained on another text than {corpus.name!r}, or with another part held out: resuming would be no continuation. "
            f"Resume with the text it was trained on ({state.corpus_name!r}); for a new run with its weights: "
            f"Trainer(load_checkpoint(path)[0], corpus), or train --init-from {path}"
        )


def _optimizer(path, state, own):
    name = state.optimizer["name"]
    if name not in OPTIMIZERS:
        if own is None:
            raise CheckpointError(f"{path} was trained with an optimiser of its own ({name}): give it as resume(..., optimizer=...)")
        return own
    if own is not None:
        raise CheckpointError(f"{path} brings its optimiser along ({name}): leave optimizer out, or start a new Trainer with its model")
    optimizer = OPTIMIZERS[name](**state.optimizer["settings"])
    optimizer.load_state(state.optimizer["state"])
    return optimizer


def _schedule(path, state, own):
    if state.schedule is None or state.schedule["name"] != "own":
        if own is not None:
            raise CheckpointError(f"{path} brings its schedule along: leave schedule out, or start a new Trainer with its model")
        return None if state.schedule is None else make_schedule(state.schedule["name"], **state.schedule["arguments"])
    if own is None:
        raise CheckpointError(
            f"{path} was trained with a schedule of its own, which a file cannot hold: give it as resume(..., schedule=...)"
        )
    return own


def _compare_regularizers(path, state, regularizer):
    if state.regularizer == regularizer_name(regularizer):
        return
    if state.regularizer is None:
        raise CheckpointError(f"{path} was trained without a regulariser: leave it out, or start a new Trainer with its model")
    raise CheckpointError(
        f"{path} was trained with a {state.regularizer}, which a file does not hold: give the same one as resume(..., regularizer=...)"
    )


def _compare_hooks(path, state, hooks):
    given = tuple(name_of(hook) for hook in hooks)
    if state.hooks == given:
        return
    if not state.hooks:
        raise CheckpointError(f"{path} was trained without hooks: leave them out, or start a new Trainer with its model")
    raise CheckpointError(
        f"{path} was trained with the hooks {', '.join(state.hooks)}, which a file does not hold, and here there are "
        f"{', '.join(given) or 'none'}: give the same ones in the same order, as resume(..., hooks=[...])"
    )
