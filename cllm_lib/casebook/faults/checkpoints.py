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
        PyTorch's tutorial "Saving and Loading Models": state_dict() returns a reference and not a copy; WenjieDu/PyPOTS issue 667.
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
        A jump of the loss where a run was taken up again: large with RMSProp, whose first steps are the longest, and small with
        Adam.
    Exposed by
        The same steps after going back: other losses.
    Source
        PyTorch's tutorial "Saving and Loading Models", section on a general checkpoint: the optimizer's state_dict belongs into it
        as well.
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
        A second warm-up where a run was taken up again; in the loss hardly anything.
    Exposed by
        The same steps after going back: other rates.
    Source
        PolymathicAI/the_well pull request 63: warm-up and cosine began again after going on, for the scheduler's state was not
        saved.
    Repair
        Save and restore it.
    """
    return replace(parts, trainer=ForgetsTheStep)
