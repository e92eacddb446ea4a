"""Defects of what is kept: the best weights, and the state that a run goes on from."""

from dataclasses import replace

from cllm_lib.casebook.faults.catalogue import fault
from cllm_lib.training.history import Best
from cllm_lib.training.trainer import Trainer


class BestIsAView(Trainer):
    """A trainer that remembers where the best weights lie, not what they are."""

    def evaluate(self):
        """Without the copy."""
        loss = super().evaluate()
        if self.best is not None and self.best.step == self.steps:
            self.best = Best(self.best.step, self.best.loss, self.model.flat_parameters)
        return loss


@fault("best weights overwritten", "checkpoint drill")
def best_weights_overwritten(parts, settings):
    """The best weights are remembered by reference: going back to the best gives the last.

    Symptom
        None while training.
    Exposed by
        Going back to the best weights, and measuring them.
    Source
        best = model.state_dict() without a copy: PyTorch's tutorial on saving models warns of it.
    Repair
        Copy the numbers.
    """
    return replace(parts, trainer=BestIsAView)


class ForgetsMoments(Trainer):
    """A trainer that goes back without its optimizer's state."""

    def go_back(self, snapshot):
        """Weights, place and counters alone."""
        super().go_back(snapshot)
        self.optimizer.load_state({})


@fault("optimizer left out of the checkpoint", "checkpoint drill", applies=lambda settings: settings.optimizer != "sgd")
def optimizer_left_out(parts, settings):
    """A checkpoint holds the weights and not the moments: after going on, the optimizer begins anew.

    Symptom
        A jump of the loss wherever a run was taken up again.
    Exposed by
        The same steps after going back: other losses.
    Source
        PyTorch's tutorial on checkpoints: "it is important to also save the optimizer's state_dict".
    Repair
        Save and restore it.
    """
    return replace(parts, trainer=ForgetsMoments)


class ForgetsTheStep(Trainer):
    """A trainer whose schedule begins anew when it goes back."""

    def go_back(self, snapshot):
        """The count of steps is lost."""
        super().go_back(snapshot)
        self.steps = 0


@fault("schedule left out of the checkpoint", "checkpoint drill", applies=lambda settings: settings.schedule != "constant")
def schedule_left_out(parts, settings):
    """A checkpoint does not hold the count of steps: after going on, the schedule begins anew.

    Symptom
        A second warm-up wherever a run was taken up again.
    Exposed by
        The same steps after going back: other rates.
    Source
        FareedKhan-dev/train-llm-from-scratch issue 16: optimizer and schedule to be restored.
    Repair
        Save and restore it.
    """
    return replace(parts, trainer=ForgetsTheStep)
