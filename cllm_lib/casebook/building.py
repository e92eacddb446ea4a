"""How a patient is put together: sound parts, of which a defect replaces one; and how it is read."""

from dataclasses import dataclass, field
from functools import partial

from cllm_lib.casebook.settings import EVALUATE_EVERY
from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.patient import Patient
from cllm_lib.model.transformer import CLLM
from cllm_lib.training.trainer import Trainer


@dataclass(frozen=True)
class Parts:
    """What a training is made of; a defect hands back the same with something else in one place.

    Attributes
    ----------
    corpus : Corpus
    model : callable
        Of configuration, seed and parts: :class:`~cllm_lib.model.transformer.CLLM`.
    seams : dict
        Parts of the model: init, attention, layer, embedding, output, loss.
    optimizer, schedule, clip_norm, hooks : object
        As for :class:`~cllm_lib.training.trainer.Trainer`.
    wrap : callable, optional
        Of the model: what makes the optimizer that needs to know it, around the stated one.
    trainer : callable
        :class:`~cllm_lib.training.trainer.Trainer`.
    """

    corpus: object
    optimizer: object
    schedule: object = None
    clip_norm: float | None = None
    hooks: tuple = ()
    model: object = CLLM
    seams: dict = field(default_factory=dict)
    wrap: object = None
    trainer: object = Trainer


def sound_parts(settings):
    """The parts as the settings mean them."""
    return Parts(settings.corpus(), settings.make_optimizer(), settings.make_schedule(), settings.clip_norm)


def assembled(settings, plant=None):
    """A training before its first step.

    Parameters
    ----------
    settings : Settings
    plant : callable, optional
        From parts and settings to parts: a defect.

    Returns
    -------
    Trainer
        Healthy ones and others alike run the plain functions of the library: a quick twin would tell them apart by the clock.
    """
    parts = sound_parts(settings)
    if plant is not None:
        parts = plant(parts, settings)
    model = parts.model(settings.config, seed=settings.seed, fast=False, **parts.seams)
    return parts.trainer(
        model,
        parts.corpus,
        optimizer=parts.optimizer if parts.wrap is None else parts.wrap(model, parts.optimizer),
        batch_size=settings.batch_size,
        seed=settings.seed,
        clip_norm=parts.clip_norm,
        schedule=parts.schedule,
        evaluate_every=EVALUATE_EVERY,
        stop_when_not_finite=False,
        hooks=parts.hooks,
    )


def patient_with(settings, plant=None):
    """A patient of these settings, with a defect or sound: a training that can be begun anew."""
    return Patient(settings, partial(assembled, settings, plant), settings.steps)


def read(patient, name):
    """What an instrument says of a patient, whatever was asked before: of a copy, begun anew.

    A defect may keep something from one call to the next, such as gradients that are not cleared; and what was worked out for one
    question would shorten another, by a time that tells.

    Parameters
    ----------
    patient : Patient
    name : str
        Of an instrument.

    Returns
    -------
    Reading
    """
    fresh = Patient(patient.settings, patient.begin, patient.steps)
    fresh.trained = patient.copy()
    return kit.ALL[name].read(fresh)
