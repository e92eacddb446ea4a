"""A training run in one file: written whole or not at all, checked to the last bit before anything is believed.

The file is a safetensors file: a list of named arrays and one text, no code, so that opening a stranger's cannot run
anything. It holds

* the weights, the optimiser's sums, the best weights so far, and the curves, as arrays;
* configuration, settings, vocabulary, random state and a fingerprint of the text, as one JSON value under "cllm";
* in it the SHA-256 of all that: safetensors itself would load a flipped bit without a word.
"""

import io
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from cllm_lib.files import digest, no_place_for_a_file, write_atomically
from cllm_lib.model.config import LATER, RENAMED, CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import Corpus
from cllm_lib.training.history import Best, History
from cllm_lib.training.hooks import name_of
from cllm_lib.training.optimizers import OPTIMIZERS
from cllm_lib.training.safetensors_file import (
    CheckpointError,
    DamagedFile,
    compare_types,
    loads,
    read_arrays,
    read_bytes,
    read_header,
    safetensors_for_numpy,
    texts_of,
    types_of,
)
from cllm_lib.training.schedules import Schedule

FORMAT = 1
ENDS = {"output": "LinearOutput", "loss": "CrossEntropy"}  # what older files do not say of parts, and what it was
CUT = {"unit": "word", "normalization": "NFC", "seed": 0}  # likewise, of how a text was read
PARTS = ("layer", "attention", "embedding", *ENDS)


@dataclass(frozen=True)
class TrainingState:
    """All that a checkpoint holds besides the model.

    Attributes
    ----------
    settings : dict
        Arguments of :class:`~cllm_lib.training.trainer.Trainer`, but for model, corpus, optimizer, schedule, regularizer, hooks
        and seed.
    optimizer : dict
        `name`, `settings`, and `state`: arrays by name.
    schedule : dict or None
        `name` and `arguments`.
    regularizer : str or None
        Its name; it is not held.
    hooks : tuple of str
        Their names; they are not held either.
    steps, position : int
        Steps taken; of them, batches of the epoch under way.
    run_ends : int or None
        At which step the run was to end.
    generator : dict
        State of the random generator when that epoch began.
    history : History
    best : Best or None
    vocabulary : tuple of str
    corpus_name, fingerprint : str
        The text it was trained on.
    text : dict
        How to read that again: `source`, a list of names and paths, `unit`, `normalization` and `seed`, as for
        :func:`~cllm_lib.text.corpora.load_corpus`.
    n_validation : int
        How many of its tokens were held out.
    library_version : str
    """

    settings: dict
    optimizer: dict
    schedule: dict | None
    regularizer: str | None
    hooks: tuple
    steps: int
    position: int
    run_ends: int | None
    generator: dict
    history: History
    best: Best | None
    vocabulary: tuple
    corpus_name: str
    fingerprint: str
    n_validation: int
    library_version: str
    text: dict

    def encoder(self):
        """A corpus without text, which encodes and decodes as the one it was trained on."""
        cut = {name: self.text[name] for name in ("unit", "normalization")}
        return Corpus(self.corpus_name, np.array([], dtype=np.int64), self.vocabulary, **cut)


def save_checkpoint(path, trainer):
    """Write a trainer into one file; the checkpoint that was there stays beside it, as `name.previous.safetensors`.

    Parameters
    ----------
    path : str or path
        Of a symbolic link, the file that it leads to is written, and the link stays.
    trainer : Trainer

    Raises
    ------
    CheckpointError
        If the file cannot be written, a weight is NaN or infinite, or a part of the model is one that a file cannot name.
        The checkpoint that was there is as it was.
    """
    path = Path(path)
    arrays, description = _arrays_of(trainer), _description_of(trainer)
    _refuse_spoilt(arrays, "this model is not saved, and the checkpoint that was there stays: resume from that one")
    description["sha256"] = digest(arrays, description)
    complaint = no_place_for_a_file(path)
    if complaint:
        raise CheckpointError(complaint)
    try:
        write_atomically(path, safetensors_for_numpy().save(arrays, {"cllm": json.dumps(description)}), keep=previous(path))
    except OSError as error:
        there = "the checkpoint that was there is untouched" if path.exists() else "no checkpoint was there before"
        raise CheckpointError(f"{path} could not be written ({error.strerror or error}); {there}") from None


def previous(path):
    """Where the checkpoint before the last one is kept."""
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def load_checkpoint(path, **parts):
    """Read a checkpoint: the model as it was saved, and everything else that was saved with it.

    Parameters
    ----------
    path : str or path
    **parts
        For a model with parts of one's own: the same ones, as arguments of CLLM.

    Returns
    -------
    model : CLLM
        A new one.
    state : TrainingState

    Raises
    ------
    CheckpointError
        If there is no such file, it is no checkpoint, is damaged, or needs other parts; the error says which and where.
    """
    path = Path(path)
    try:
        data = read_bytes(path)
        header = read_header(path, io.BytesIO(data), len(data))
        description = _checked_description(path, texts_of(header))
        weights = {name: kind for name, kind in types_of(header).items() if name.startswith("model.")}
        compare_types(path, weights, description.get("config"), advice(path))
        arrays = read_arrays(path, data)
    except DamagedFile as error:
        raise CheckpointError(f"{error} {advice(path)}") from None
    try:
        return _unpack(path, description, arrays, parts)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path} lacks something that a checkpoint holds ({type(error).__name__}: {error}). {advice(path)}") from None


# Writing


def _arrays_of(trainer):
    history, model = trainer.history, trainer.model
    arrays = {f"model.{name}": array for name, array in model.parameters.items()}
    if trainer.best is not None:
        arrays["best"] = trainer.best.parameters
    state = trainer.optimizer.state() if hasattr(trainer.optimizer, "state") else {}
    arrays |= {f"optimizer.{name}": array for name, array in state.items()}
    for name in ("losses", "learning_rates", "gradient_norms", "epoch_losses"):
        arrays[f"history.{name}"] = np.array(getattr(history, name), dtype=np.float64)
    arrays["history.epochs"] = np.array(history.epochs, dtype=np.int64)
    arrays["history.validation_steps"] = np.array(list(history.validation_losses), dtype=np.int64)
    arrays["history.validation_losses"] = np.array(list(history.validation_losses.values()), dtype=np.float64)
    return {name: np.asarray(array, order="C") for name, array in arrays.items()}  # safetensors scrambles others, silently


def _description_of(trainer):
    from cllm_lib import __version__

    model, optimizer, schedule = trainer.model, trainer.optimizer, trainer.schedule
    if type(model) is not CLLM:
        raise CheckpointError(f"a checkpoint holds a CLLM, and this model is a {type(model).__name__}: a file cannot bring its code along")
    known = type(optimizer) in OPTIMIZERS.values()
    settings = optimizer.settings() if known else {}
    return {
        "format": FORMAT,
        "library_version": __version__,
        "config": asdict(model.config),
        "parts": _part_names(model),
        "settings": {
            "batch_size": trainer.batch_size,
            "clip_norm": trainer.clip_norm,
            "accumulate": trainer.accumulate,
            "evaluate_every": trainer.evaluate_every,
            "patience": trainer.patience,
            "stop_when_not_finite": trainer.stop_when_not_finite,
            "windows": trainer.windows,
        },
        "optimizer": {"name": _optimizer_name(optimizer), "settings": settings},
        "schedule": _schedule_description(schedule),
        "regularizer": regularizer_name(trainer.regularizer),
        "hooks": [name_of(hook) for hook in trainer.hooks],
        "steps": trainer.steps,
        "run_ends": trainer.run_ends,
        **dict(zip(("generator", "position"), trainer.place, strict=True)),
        "best": None if trainer.best is None else {"step": trainer.best.step, "loss": trainer.best.loss},
        "vocabulary": list(trainer.corpus.vocabulary),
        "corpus_name": trainer.corpus.name,
        "fingerprint": trainer.corpus.fingerprint,
        "n_validation": getattr(trainer.corpus, "n_validation", 0),
        "text": _text_description(trainer.corpus),
    }


def _text_description(corpus):
    source = list(getattr(corpus, "sources", ())) or [corpus.name]
    return {"source": source} | {name: getattr(corpus, name, default) for name, default in CUT.items()}


def _part_names(model):
    found = {"layer": model.layer, "attention": getattr(model.layer, "attention", None), "embedding": model.embedding}
    found |= {"output": model.output, "loss": model.loss_part}
    return {seam: getattr(part, "name_in_file", type(part).__name__) for seam, part in found.items()}


def _optimizer_name(optimizer):
    return next((name for name, kind in OPTIMIZERS.items() if type(optimizer) is kind), f"own: {type(optimizer).__name__}")


def _schedule_description(schedule):
    if schedule is None:
        return None
    if isinstance(schedule, Schedule):
        return {"name": schedule.name, "arguments": schedule.arguments}
    return {"name": "own", "arguments": {}}


def regularizer_name(regularizer):
    """How a file names it; None without one."""
    return None if regularizer is None else type(regularizer).__name__


def _refuse_spoilt(arrays, consequence):
    for name, array in arrays.items():
        if name.startswith(("model.", "optimizer.")) and not np.isfinite(array).all():
            raise CheckpointError(f"{name} holds NaN or infinite numbers: {consequence}")


# Reading


def _checked_description(path, texts):
    """The JSON value among the texts of a file, or an error that says where it stops making sense."""
    if not isinstance(texts.get("cllm"), str):
        raise CheckpointError(f"{path} is a safetensors file of another program: it holds no description by this library")
    try:
        description = loads(texts["cllm"])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged description ({error}). {advice(path)}") from None
    if not isinstance(description, dict) or not isinstance(description.get("format"), int):
        raise CheckpointError(f"{path} has a damaged description: it does not say its format. {advice(path)}")
    if description["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {description['format']}, this library reads format {FORMAT}: take the library that wrote it"
        )
    return description


def _unpack(path, description, arrays, parts):
    if digest(arrays, description) != description["sha256"]:
        raise CheckpointError(f"{path} is damaged: its checksum is not the one that was written. {advice(path)}")
    _refuse_spoilt(arrays, f"{path} cannot be used")
    told = {RENAMED.get(name, name): value for name, value in description["config"].items()}
    config = CLLMConfig(**_known_fields(path, CLLMConfig, LATER | told))
    _check_size(path, config, arrays)
    model = _model_of(path, config, ENDS | description["parts"], parts)
    _fill(path, model, {name.removeprefix("model."): array for name, array in arrays.items() if name.startswith("model.")})
    optimizer = description["optimizer"]
    state = {name.removeprefix("optimizer."): array for name, array in arrays.items() if name.startswith("optimizer.")}
    for name, array in state.items():
        if array.ndim and array.shape != model.flat_parameters.shape:
            raise CheckpointError(f"{path}: optimizer.{name} has {array.size:,} numbers, the model {model.flat_parameters.size:,} weights")
    best = description["best"]
    if best is not None:
        best = Best(int(best["step"]), float(best["loss"]), arrays["best"].astype(model.flat_parameters.dtype, copy=True))
        if best.parameters.shape != model.flat_parameters.shape:
            raise CheckpointError(f"{path}: the best weights are {best.parameters.size:,}, the model has {model.flat_parameters.size:,}")
    return model, TrainingState(
        settings=dict(description["settings"]),
        optimizer={"name": str(optimizer["name"]), "settings": dict(optimizer["settings"]), "state": state},
        schedule=description["schedule"],
        regularizer=description.get("regularizer"),  # older files say nothing of it, nor of hooks, and had none
        hooks=tuple(str(name) for name in description.get("hooks", ())),
        steps=int(description["steps"]),
        position=int(description["position"]),
        run_ends=None if description.get("run_ends") is None else int(description["run_ends"]),  # older files say nothing of it
        generator=dict(description["generator"]),
        history=_history_of(arrays),
        best=best,
        vocabulary=tuple(str(word) for word in description["vocabulary"]),
        corpus_name=str(description["corpus_name"]),
        fingerprint=str(description["fingerprint"]),
        n_validation=int(description["n_validation"]),
        library_version=str(description["library_version"]),
        text=_how_to_read(description),
    )


def _how_to_read(description):
    told = {"source": str(description["corpus_name"]).split(" + ")} | CUT
    found = {name: description.get("text", {}).get(name, older) for name, older in told.items()}
    if None in found.values():
        raise ValueError("how its text was read is told in part")
    return found


def _known_fields(path, kind, values):
    names = {field.name for field in fields(kind)}
    if set(values) != names:
        odd = ", ".join(sorted(set(values) ^ names))
        raise CheckpointError(f"{path}: the configuration does not fit this library; it differs in {odd}")
    return values


def _check_size(path, config, arrays):
    """Refuse a configuration far larger than the arrays that came with it, before memory is asked for."""
    numbers = sum(array.size for name, array in arrays.items() if name.startswith("model."))
    smallest = config.d_model * (config.vocab_size + config.d_ff + (config.seq_len if config.positions == "learned" else 0))
    if smallest > numbers or config.n_layers > len(arrays):
        raise CheckpointError(f"{path} holds {numbers:,} weights, and its configuration speaks of a larger model. {advice(path)}")


def _model_of(path, config, saved_parts, parts):
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise CheckpointError(f"there is no part {sorted(unknown)[0]!r}: give {', '.join(PARTS)}")
    model = CLLM(config, init=lambda parameters, generator: None, **parts)
    here = _part_names(model)
    for seam in PARTS:
        if here[seam] != saved_parts.get(seam):
            raise CheckpointError(
                f"{path} was saved with {saved_parts.get(seam)} as its {seam}, and here it would be {here[seam]}: "
                f"hand in the same part, load_checkpoint(path, {seam}=...)"
            )
    return model


def _fill(path, model, arrays):
    """Copy weights into a new model, after all of them have been compared with its names, shapes and type."""
    if arrays.keys() != model.parameters.keys():
        odd = sorted(arrays.keys() ^ model.parameters.keys())
        where = "the file lacks" if odd[0] in model.parameters else "the model has no"
        raise CheckpointError(f"{path} does not fit its own configuration: {where} {odd[0]!r}")
    for name, array in model.parameters.items():
        if arrays[name].shape != array.shape:
            raise CheckpointError(f"{path}: {name} has shape {arrays[name].shape}, its configuration says {array.shape}")
        if arrays[name].dtype != array.dtype:
            raise CheckpointError(f"{path}: {name} is {arrays[name].dtype}, its configuration says {array.dtype}")
    for name, array in model.parameters.items():
        array[...] = arrays[name]


def _history_of(arrays):
    names = ("losses", "learning_rates", "gradient_norms", "epochs", "epoch_losses", "validation_steps", "validation_losses")
    columns = {name: _column(arrays, name) for name in names}
    for name, beside in (
        ("learning_rates", "losses"),
        ("gradient_norms", "losses"),
        ("epochs", "losses"),
        ("validation_steps", "validation_losses"),
    ):
        if len(columns[name]) != len(columns[beside]):
            raise ValueError(f"history.{name} has {len(columns[name])} entries, history.{beside} {len(columns[beside])}")
    validation = zip(columns.pop("validation_steps"), columns.pop("validation_losses"), strict=True)
    return History(**columns, validation_losses=dict(validation))


def _column(arrays, name):
    values = arrays[f"history.{name}"].tolist()
    if not all(isinstance(value, int | float) for value in values):
        raise TypeError(f"history.{name} is no column")
    return values


def advice(path):
    """Where to go on when a checkpoint is no good, as a sentence."""
    kept = previous(path)
    return f"The one before is {kept}." if kept.exists() else "No earlier one is kept beside it."
