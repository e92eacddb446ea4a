"""What of a run of transformers' or Lightning's trainer the doctor can examine: the model beside its loss, as two functions."""

import copy
import inspect

import torch
from torch import nn

from cllm_lib.instruments.torch.first_step import Clip, leaving_it_as_it_was, loop_step, until_its_end, with_the_loop
from cllm_lib.instruments.torch.loop import flat
from cllm_lib.instruments.torch.structures import mapped, tensors_in
from cllm_lib.instruments.torch.subject import on_cpu, quiet

SAME_LOSS = 1e-3  # share
COUNT = "num_items_in_batch"  # how transformers tells a model the words of all batches of a step


class Keywords(nn.Module):
    """A model that takes its inputs by name, as one that takes a dict of them.

    Parameters
    ----------
    model : torch.nn.Module
    pick : callable
        From what the model returns to what the loss takes.
    """

    def __init__(self, model, pick):
        super().__init__()
        self.model, self.pick, self.calls = model, pick, 0
        self.training = model.training  # this alone: parts of the model may be set otherwise on purpose

    def forward(self, inputs):
        """What the model makes of a dict of inputs."""
        return self.pick(self.model(**inputs))


class Network(nn.Module):
    """The one network that a LightningModule's `training_step` calls.

    Parameters
    ----------
    whole : LightningModule
    name : str
        Of the network inside; nothing for the module itself.
    """

    def __init__(self, whole, name):
        super().__init__()
        self.whole, self.name, self.calls = whole, name, 0
        self.training = whole.training

    def forward(self, inputs):
        """What the network makes of `{"args": tuple, "kwargs": dict}`."""
        return self.whole.get_submodule(self.name)(*inputs["args"], **inputs["kwargs"])


class WholeStep(nn.Module):
    """A `training_step` as a module that returns its loss."""

    def __init__(self, whole):
        super().__init__()
        self.whole, self.calls = whole, 0
        self.training = whole.training

    def forward(self, batch):
        """The loss of a batch."""
        return training_loss(self.whole, batch)


class Hidden:
    """Tensors that the doctor is not to take for targets: they are a loss's affair."""

    def __init__(self, tensors):
        self.tensors = list(tensors)


class LossOfOutputs:
    """What a `training_step` makes of given outputs of its network: it is called, and its network returns these.

    Targets are the tensors of the batch that are no inputs of the network, and numbers with fractions that are (an autoencoder's). The
    words that a language model reads are hidden behind them: a loss that shifts them makes its targets by itself.
    """

    def __init__(self, whole, name, batch, inputs):
        self.whole, self.name, self.template = copy.deepcopy(whole).cpu(), name, batch
        fed = {tensor.data_ptr() for tensor in tensors_in(inputs)}
        self.shown = [tensor.data_ptr() not in fed or tensor.is_floating_point() for tensor in tensors_in(batch)]

    def targets(self, batch):
        """What this loss takes beside the outputs, from a batch."""
        tensors = tensors_in(on_cpu(batch))
        shown = [tensor for tensor, is_shown in zip(tensors, self.shown, strict=True) if is_shown]
        return (*shown, Hidden(tensor for tensor, is_shown in zip(tensors, self.shown, strict=True) if not is_shown))

    def __call__(self, outputs, targets):
        """The loss."""
        *shown, hidden = targets
        shown, others = iter(shown), iter(hidden.tensors)
        order = iter(self.shown)
        batch = mapped(self.template, lambda _: next(shown if next(order) else others))
        inner = self.whole.get_submodule(self.name)
        inner.forward = lambda *args, **kwargs: outputs
        try:
            return training_loss(self.whole, batch)
        finally:
            del inner.forward


def training_loss(whole, batch):
    """The loss that a LightningModule's `training_step` returns.

    Raises
    ------
    ValueError
        If it returns none, or cannot be called without a Trainer.
    """
    takes = len(inspect.signature(whole.training_step).parameters)
    try:
        found = whole.training_step(batch, 0) if takes > 1 else whole.training_step(batch)
    except RuntimeError as error:
        if "attached to a `Trainer`" in str(error):
            raise ValueError(
                "training_step asks for its Trainer, which a copy of the module does not have; call examine yourself"
            ) from error
        raise
    found = found.get("loss") if isinstance(found, dict) else found
    if not isinstance(found, torch.Tensor):
        raise ValueError("training_step returned no loss for the first batch")
    return found


@leaving_it_as_it_was
def of_transformers(model, batches, states, settings, optimizer, scheduler, steps):
    """What of a run of the Trainer of transformers can be examined, once its first gradient is there.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        With the gradient as its optimizer will receive it.
    batches : list of dict
        What the model was called with, for this gradient.
    states : list of torch.Tensor
        Of the random numbers, before each batch.
    settings : transformers.TrainingArguments
    optimizer : torch.optim.Optimizer
    scheduler : object
    steps : int
        Of the optimizer, in the whole training.

    Returns
    -------
    arguments : dict
        Of examine.
    why_not : str
        Why the loop is not among them, or nothing.

    Raises
    ------
    ValueError
        If the model does not compute its loss by itself.
    """
    received, optimizer = flat(model, "gradients").cpu(), getattr(optimizer, "optimizer", optimizer)
    scheduler = scheduler if hasattr(scheduler, "last_epoch") else getattr(scheduler, "scheduler", scheduler)
    plain = [{name: value for name, value in batch.items() if name != COUNT} for batch in batches]
    module, loss, pairs = _model_and_loss(model, plain)
    shares = _shares(model, batches, plain) if COUNT in batches[0] else None
    scheduler = until_its_end(optimizer, scheduler, steps)
    arguments = dict(module=module, loss=loss, optimizer=optimizer, scheduler=scheduler)
    arguments |= dict(inputs=pairs[0][0], targets=pairs[0][1], batches=pairs[1:])
    waits = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    clip = Clip(settings.max_grad_norm or 0.0, of_the_module=True)
    step = loop_step(loss, len(batches), clip, 0 if waits else 1, shares)
    return with_the_loop(arguments, step, states, received)


def _shares(model, batches, plain):
    """Weight of each batch where the loss is the mean over the words of all: its loss beside the mean over its own."""
    with quiet(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        twin = copy.deepcopy(model).eval()
        return [float(loss_in(twin(**one)) / loss_in(twin(**other))) for one, other in zip(batches, plain, strict=True)]


def _model_and_loss(model, batches):
    """The model with its loss beside it, as a function of logits and labels, where that gives what the model itself computes."""
    with quiet(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        twin = copy.deepcopy(model).eval()
        whole = twin(**batches[0])
        own = loss_in(whole)
        labels = batches[0].get("labels")
        logits = whole.get("logits") if isinstance(whole, dict) else None
        if labels is not None and logits is not None:
            without = {name: value for name, value in batches[0].items() if name != "labels"}
            for loss in _losses(model):
                try:
                    same = torch.equal(twin(**without)["logits"], logits) and _is_close(loss(logits, labels), own)
                except Exception:  # a loss for models of another kind
                    continue
                if same:
                    pairs = [({n: v for n, v in batch.items() if n != "labels"}, batch["labels"]) for batch in batches]
                    return Keywords(model, logits_in), loss, pairs
    return Keywords(model, loss_in), take_the_loss, [(batch, None) for batch in batches]


def _is_close(value, own):
    return value.numel() == 1 and abs(float(value) - float(own)) <= SAME_LOSS * abs(float(own))


def _losses(model):
    """Functions of logits and labels that the model's loss may be."""
    found, config = getattr(model, "loss_function", None), getattr(model, "config", None)
    if found is not None:
        size = getattr(config, "vocab_size", None)
        yield lambda logits, labels: found(logits=logits, labels=labels, vocab_size=size, pooled_logits=logits, config=config)
    yield lambda logits, labels: nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
    yield lambda logits, labels: nn.functional.mse_loss(logits.squeeze(), labels.squeeze())
    yield nn.functional.binary_cross_entropy_with_logits


def logits_in(outputs):
    """The logits of what a model of transformers returned."""
    return outputs["logits"]


def loss_in(outputs):
    """The loss in what a model returned.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = outputs.get("loss") if isinstance(outputs, dict) else outputs[0]
    if found is None or found.numel() != 1:
        raise ValueError(
            "the model returned no loss: it is computed outside of it (by compute_loss_func, or label smoothing), where a callback "
            "cannot look; call examine yourself, with that loss"
        )
    return found


def take_the_loss(outputs, targets):
    """The loss of a module that returns it."""
    return outputs


@leaving_it_as_it_was
def of_lightning(whole, batches, states, clip, optimizer, schedules, steps, why_not):
    """What of a run of Lightning's Trainer can be examined, once its first gradient is there, before it is clipped.

    Parameters
    ----------
    whole : LightningModule
    batches : list
        For this gradient.
    states : list of torch.Tensor
        Of the random numbers, before each batch.
    clip : Clip
    optimizer : torch.optim.Optimizer or None
    schedules : list
        Lightning's configurations of them.
    steps : int
        Of the optimizer, in the whole training.
    why_not : str
        What forbids to write the loop down, or nothing.

    Returns
    -------
    arguments : dict
        Of examine.
    why_not : str
        Why the loop is not among them, or nothing.
    """
    module, loss, pairs = _network_and_loss(whole, batches, states)
    schedule = schedules[0] if len(schedules) == 1 else None
    per_step = schedule is not None and schedule.interval == "step" and not schedule.reduce_on_plateau
    scheduler = getattr(schedule, "scheduler", None)
    if per_step:
        scheduler = until_its_end(optimizer, scheduler, steps // schedule.frequency)
    arguments = dict(module=module, loss=loss, optimizer=optimizer, scheduler=scheduler)
    arguments |= dict(inputs=pairs[0][0], targets=pairs[0][1], batches=pairs[1:])
    if why_not or len(schedules) > 1:
        return arguments, why_not or "it has several schedules"
    kept = [(p, None if p.grad is None else p.grad.clone()) for p in whole.parameters()]
    clip.apply(whole, optimizer)
    received = flat(whole, "gradients").cpu()
    for parameter, gradient in kept:
        parameter.grad = gradient
    step = loop_step(loss, len(batches), clip, schedule.frequency if per_step else 0)
    return with_the_loop(arguments, step, states, received)


def _network_and_loss(whole, batches, states):
    """The one network that `training_step` calls, and its loss beside it; or all of it as a module that returns its loss."""
    calls = [_direct_calls(whole, batch, state) for batch, state in zip(batches, states, strict=True)]
    names = {name for found in calls for name, _, _ in found}
    if len(names) == 1 and all(len(found) == 1 for found in calls):
        (name,) = names
        loss = LossOfOutputs(whole, name, batches[0], calls[0][0][1])
        if _is_enough(loss, calls[0][0][2], batches[0]):
            return Network(whole, name), loss, [(found[0][1], loss.targets(b)) for found, b in zip(calls, batches, strict=True)]
    return WholeStep(whole), take_the_loss, [(batch, None) for batch in batches]


def _direct_calls(whole, batch, state):
    """Name, inputs and outputs of each module with weights that `training_step` itself calls, in a copy."""
    twin = copy.deepcopy(whole)
    found, depth = [], [0]

    def before(name):
        def hook(module, args, kwargs):
            depth[0] += 1
            if depth[0] == 1:
                found.append([name, {"args": args, "kwargs": kwargs}, None])

        return hook

    def after(module, args, kwargs, outputs):
        depth[0] -= 1
        if depth[0] == 0:
            found[-1][2] = outputs

    for name, module in twin.named_modules():
        if any(True for _ in module.parameters()):
            module.register_forward_pre_hook(before(name), with_kwargs=True)
            module.register_forward_hook(after, with_kwargs=True)
    with quiet(), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.set_rng_state(state)
        training_loss(twin, batch)
    return found


def _is_enough(loss, outputs, batch):
    """Whether the loss is made of these outputs, and neither of other weights nor of random numbers."""
    targets = loss.targets(batch)
    cut = on_cpu(outputs)
    with quiet(), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one = loss(cut, targets)
        torch.manual_seed(1)
        other = loss(cut, targets)
    return not one.requires_grad and torch.equal(one, other)
