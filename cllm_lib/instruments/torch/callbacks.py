"""The doctor inside somebody else's trainer: a callback for transformers, and one for Lightning. Neither is loaded before it is asked for.

Both look once, when the first gradient is there and no step has been made; they leave the training as it is.
"""

import dataclasses
import importlib
import importlib.util
import sys

from cllm_lib.faces import needed
from cllm_lib.instruments.torch.doctor import examine
from cllm_lib.terminal import say

LIGHTNINGS = ("lightning.pytorch", "pytorch_lightning")
PARTS_OF_THE_LOOP = ("optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping", "lr_scheduler_step", "backward")
ELSEWHERE = "trainings in several processes are not examined: run one process for the first step, and look at that"
BY_HAND = "training_step makes its steps by itself (automatic_optimization is False); call examine yourself, with what it does as step"
FOLLOWED = "The loop was followed as the trainer's settings describe it, which makes its first gradient again."


class Looking:
    """What both callbacks share: they examine once, print the report, and keep it.

    Attributes
    ----------
    report : Report or None
        Once the first gradient was there; None before, and where nothing could be examined.
    why_not : str
        Why nothing could be examined, or nothing.
    """

    def __init__(self, stop=False):
        super().__init__()
        self.stop = stop
        self._forget()

    def _forget(self):
        self.report, self.why_not, self._batches, self._states = None, "", [], []

    @property
    def is_done(self):
        """Whether the doctor has looked, or given up."""
        return self.report is not None or bool(self.why_not)

    @property
    def wants_to_stop(self):
        """Whether the training has to stop here."""
        return self.stop and self.report is not None and not self.report.is_healthy

    def _note(self, batch):
        import torch

        self._batches.append(batch)
        self._states.append(torch.get_rng_state())

    def _give_up(self, why):
        self.why_not = why
        say(f"doctor: nothing was examined: {why}")

    def _look(self, prepare):
        """Examine what `prepare()` makes of the first step. Whatever goes wrong in here, the training goes on."""
        try:
            arguments, why_not = prepare()
            report = examine(**arguments)
        except Exception as error:
            self._give_up(f"{error}" if type(error) is ValueError else f"{type(error).__name__}: {error}")
            return
        finally:
            self._batches, self._states = [], []
        if why_not:
            report = dataclasses.replace(report, skipped=report.skipped | {"the trainer's own loop": why_not})
        self.report = report
        for line in str(report).splitlines() + [FOLLOWED] * ("step" in arguments):
            say(line)
        if self.wants_to_stop:
            say("doctor: the training stops here, because something was found")


def hugging_face(stop=False):
    """A callback for the Trainer of transformers that examines the training at its first step.

    Parameters
    ----------
    stop : bool
        Whether the training stops after the first step if something is found.

    Returns
    -------
    transformers.TrainerCallback
        With an attribute `report`, as :func:`examine` returns it.

    Raises
    ------
    ModuleNotFoundError
        If transformers or PyTorch is not installed.

    Notes
    -----
    Examined are the model as a function of its batch, the loss that it computes from its labels, optimizer and schedule. The loop is
    written down from `TrainingArguments` (accumulation, clipping, schedule), and followed if it makes the gradient that the Trainer
    made; else the report says that it was not looked at.
    """
    needed("torch", "the doctor for PyTorch", "`pip install torch` brings it")
    transformers = needed("transformers", "a callback for its Trainer", "`pip install transformers accelerate` brings it")

    class Doctor(Looking, transformers.TrainerCallback):
        """Looks at the first step."""

        _hook = None

        def on_train_begin(self, args, state, control, model=None, **kwargs):
            self._forget()
            self._remove()
            if args.world_size > 1 or args.n_gpu > 1:
                self._give_up(ELSEWHERE)
            else:
                self._hook = model.register_forward_pre_hook(self._seen, with_kwargs=True)

        def _seen(self, model, args, kwargs):
            if model.training and not args:
                self._note(dict(kwargs))

        def _remove(self):
            if self._hook is not None:
                self._hook.remove()
            self._hook = None

        def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, lr_scheduler=None, **kwargs):
            if self.is_done:
                return
            self._remove()
            from cllm_lib.instruments.torch.trainers import of_transformers

            self._look(lambda: of_transformers(model, self._batches, self._states, args, optimizer, lr_scheduler, state.max_steps))

        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = control.should_training_stop or self.wants_to_stop

        def on_train_end(self, args, state, control, **kwargs):
            self._remove()

    return Doctor(stop)


def lightning(stop=False):
    """A callback for Lightning's Trainer, of `lightning` or `pytorch_lightning`, that examines the training at its first step.

    Parameters
    ----------
    stop : bool
        Whether the training stops after the first step if something is found.

    Returns
    -------
    lightning.pytorch.Callback
        With an attribute `report`, as :func:`examine` returns it.

    Raises
    ------
    ModuleNotFoundError
        If neither package, or no PyTorch, is installed.

    Notes
    -----
    If `training_step` calls one network once, the network is examined, with the rest of `training_step` as its loss; else all of it
    as a module that returns its loss, of which less can be told. The loop is written down from the Trainer's settings (accumulation,
    clipping, schedule), and followed if it makes the gradient that the Trainer made; with several optimizers or a part of the loop
    overridden, the report says that it was not looked at. Where steps are made by hand nothing is examined, and `why_not` says so.
    """
    needed("torch", "the doctor for PyTorch", "`pip install torch` brings it")
    bases = tuple(base.Callback for base in _lightnings())

    class Doctor(Looking, *bases):
        """Looks at the first step."""

        def on_train_start(self, trainer, pl_module):
            self._forget()
            if trainer.world_size > 1:
                self._give_up(ELSEWHERE)
            elif not pl_module.automatic_optimization:
                self._give_up(BY_HAND)

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if not self.is_done:
                self._note(batch)

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            if self.is_done:
                return
            from cllm_lib.instruments.torch.trainers import of_lightning

            self._look(
                lambda: of_lightning(
                    pl_module,
                    self._batches,
                    self._states,
                    _clip(trainer),
                    optimizer if len(trainer.optimizers) == 1 else None,
                    trainer.lr_scheduler_configs,
                    _steps(trainer),
                    _not_lightnings_own(pl_module, trainer),
                )
            )

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            trainer.should_stop = trainer.should_stop or self.wants_to_stop

    return Doctor(stop)


def _lightnings():
    """The packages of that kind that the reader has loaded, or else the one that is installed."""
    loaded = [sys.modules[name] for name in LIGHTNINGS if name in sys.modules]
    if loaded:
        return loaded
    name = next((name for name in LIGHTNINGS if importlib.util.find_spec(name.partition(".")[0])), LIGHTNINGS[0])
    return [needed(name, "a callback for Lightning's Trainer", "`pip install lightning` brings it")]


def _clip(trainer):
    from cllm_lib.instruments.torch.first_step import Clip

    by_value = getattr(trainer.gradient_clip_algorithm, "value", trainer.gradient_clip_algorithm) == "value"
    return Clip(float(trainer.gradient_clip_val or 0.0), by_value)


def _steps(trainer):
    """Steps of the optimizer in the whole training; 0 if nobody knows."""
    steps = trainer.estimated_stepping_batches
    return int(steps) if 0 < steps < float("inf") else 0


def _not_lightnings_own(module, trainer):
    """What of the loop the reader does by hand, so that it cannot be written down from settings; or nothing."""
    if len(trainer.optimizers) != 1:
        return f"it has {len(trainer.optimizers)} optimizers"
    for kind in type(module).__mro__:
        if kind.__module__.startswith(("lightning.", "pytorch_lightning.")):
            break
        if own := [name for name in PARTS_OF_THE_LOOP if name in vars(kind)]:
            return f"{kind.__name__} overrides {', '.join(own)}"
    return ""
