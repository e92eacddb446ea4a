"""Defects of the output, of the loss, and of the gradient that is taken of it."""

from dataclasses import replace

import numpy as np

from cllm_lib import defects
from cllm_lib.casebook.faults.catalogue import fault
from cllm_lib.model.ends import CrossEntropy, LinearOutput
from cllm_lib.model.layers import cross_entropy_backward, cross_entropy_forward, softmax, softmax_backward
from cllm_lib.model.transformer import CLLM


def _with(parts, **seams):
    return replace(parts, seams=parts.seams | seams)


class SoftmaxTwice(CrossEntropy):
    """A loss that takes a softmax of what has been through one."""

    def forward(self, logits, targets):
        """Probabilities, taken for logits."""
        probabilities = softmax(logits)
        loss, cache = cross_entropy_forward(probabilities, targets)
        return loss, (probabilities, cache)

    def backward(self, cache):
        """True to this forward pass."""
        probabilities, inner = cache
        return softmax_backward(cross_entropy_backward(inner), probabilities)


@fault("softmax twice", "recompute the loss")
def softmax_twice(parts, settings):
    """The model's last line is a softmax, and so is the loss's first: probabilities are taken for logits.

    Symptom
        A loss that starts at ln V and can fall by 1 at most; in a run as short as these by a third.
    Exposed by
        The loss computed from the logits by hand.
    Source
        ariecattan/SciCo issue 2, a loss that got stuck; Lightning-Universe/lightning-bolts issue 654.
    Repair
        Give the loss the logits.
    """
    return _with(parts, loss=SoftmaxTwice())


class SoftmaxOverTime(CrossEntropy):
    """A loss whose softmax runs over the positions of a sequence."""

    def forward(self, logits, targets):
        """Each word's probabilities sum to 1 over the places where it could stand."""
        weights = softmax(logits, axis=1)
        chosen = np.take_along_axis(weights, targets[..., None], axis=-1)
        return float(-np.log(np.maximum(chosen, np.finfo(chosen.dtype).tiny)).mean()), (weights, targets)

    def backward(self, cache):
        """True to this forward pass."""
        weights, targets = cache
        one_hot = np.zeros_like(weights)
        np.put_along_axis(one_hot, targets[..., None], 1.0, axis=-1)
        return (weights * one_hot.sum(axis=1, keepdims=True) - one_hot) / weights.dtype.type(targets.size)


@fault("softmax over time", "recompute the loss", "loss at the start")
def softmax_over_time(parts, settings):
    """The loss's softmax runs over the positions of a sequence, not over the vocabulary.

    Symptom
        A loss that starts near ln T and falls.
    Exposed by
        The loss computed from the logits by hand; the loss at the start, which is not ln V.
    Source
        pytorch/pytorch issue 27626: torch's cross-entropy takes the classes from axis 1, so (batch, time, classes) runs over time.
    Repair
        Exchange the axes, or put all positions under each other.
    """
    return _with(parts, loss=SoftmaxOverTime())


class Summed(CrossEntropy):
    """A loss that is the sum over all positions."""

    def forward(self, logits, targets):
        """Times their number."""
        loss, cache = super().forward(logits, targets)
        return loss * targets.size, cache

    def backward(self, cache):
        """True to this forward pass."""
        size = cache[1].size
        d_logits = super().backward(cache)
        d_logits *= d_logits.dtype.type(size)
        return d_logits


@fault("loss summed", "recompute the loss", "loss at the start")
def loss_summed(parts, settings):
    """The loss is the sum over all positions, where the mean was meant.

    Symptom
        A loss in the hundreds. Plain descent without clipping leaps to infinity; with clipping, or moments, the rest of the curve
        looks right.
    Exposed by
        The loss computed by hand, and its ratio to the number of targets.
    Source
        torch.nn.CrossEntropyLoss(reduction="sum").
    Repair
        Divide by the number of targets.
    """
    return _with(parts, loss=Summed())


class GradientOfTheSum(CrossEntropy):
    """The mean as the loss, and the gradient of the sum."""

    def backward(self, cache):
        """Not divided by the number of targets."""
        size = cache[1].size
        d_logits = super().backward(cache)
        d_logits *= d_logits.dtype.type(size)
        return d_logits


@fault("gradient of the sum", "gradient check at the start", "gradient check after training")
def gradient_of_the_sum(parts, settings):
    """The loss is the mean over all positions, and its gradient that of the sum.

    Symptom
        None where moments or clipping divide the size away; plain descent without clipping leaps to infinity.
    Exposed by
        The gradient check: the same factor everywhere.
    Source
        hunkim/DeepLearningZeroToAll issue 173: a backward pass by hand without the average; jxgu1016/MNIST_center_loss_pytorch
        issue 9.
    Repair
        Divide on the way back as well.
    """
    return _with(parts, loss=GradientOfTheSum())


class CopiedMatrix(LinearOutput):
    """An output with a copy of the embedding, made at the first call."""

    __slots__ = ("matrix",)

    def __init__(self):
        self.matrix = None

    def forward(self, hidden, matrix):
        """By the copy."""
        if self.matrix is None:
            self.matrix = np.array(matrix)
        own = self.matrix.astype(hidden.dtype)
        return hidden @ own, (hidden, own)

    def backward(self, d_logits, cache, out):
        """What stands in the model's own matrix gets nothing."""
        d_hidden = super().backward(d_logits, cache, np.empty_like(out))
        out[...] = 0.0
        return d_hidden


@fault("tied by copy", "nudge a row", applies=lambda settings: settings.tie_embeddings)
def tied_by_copy(parts, settings):
    """Output and embedding were to share their weights; the output has a copy, which never learns.

    Symptom
        The loss falls by less than a nat, and stays far above the sound twin's.
    Exposed by
        Nudging the row of a word that the input does not have: its logit does not move.
    Source
        Two arrays for one: ml-explore/mlx-lm pull request 373, an output that had a copy of the embedding. The part that never
        learns: no single source.
    Repair
        Share the array, not its numbers.
    """
    return _with(parts, output=CopiedMatrix())


@fault("gradient of another loss", "gradient check at the start", "gradient check after training")
def gradient_of_another_loss(parts, settings):
    """The loss printed is the cross-entropy; the gradient is that of a distance between embeddings.

    Symptom
        Weights move, and the printed loss does not follow them down: on some seeds it stays, on others it rises.
    Exposed by
        The gradient check against the printed loss.
    Source
        The museum, "gradient of another loss": document 004.
    Repair
        Go backward through what is printed.
    """
    return replace(parts, model=defects.GradientOfAnotherLoss)


@fault("last sequence only", "recompute the loss", "repeat", "gradient check at the start")
def last_sequence_only(parts, settings):
    """Loss and gradient of a training batch are those of its last sequence.

    Symptom
        The loss falls, less far, and with two to five times as much noise from step to step.
    Exposed by
        The loss of the batch computed by hand; changing a sequence that is not the last.
    Source
        The museum, `LastSequenceWins`: a loop over a batch that overwrites.
    Repair
        Add up, and divide by the number.
    """
    return replace(parts, model=defects.LastSequenceWins)


class HalfPrecisionGradients(CLLM):
    """A model whose gradients go through 16 bits."""

    def forward_backward(self, tokens, targets):
        """As the sound one; then eleven binary digits are left of each number, and small ones become 0."""
        loss = super().forward_backward(tokens, targets)
        with np.errstate(over="ignore"):
            self.flat_gradients[...] = self.flat_gradients.astype(np.float16)
        return loss


@fault("half-precision gradients", "gradients")
def half_precision_gradients(parts, settings):
    """Gradients pass through float16, without a scale: the small ones become 0, the rest keeps eleven binary digits.

    Symptom
        None in a small model: the loss ends within a hundredth of the sound twin's.
    Exposed by
        Gradients every one of which fits into 16 bits.
    Source
        Micikevicius et al. 2018, "Mixed Precision Training", section 3.2, loss scaling.
    Repair
        Scale the loss up before the backward pass and the gradients down after it, or keep float32.
    """
    return replace(parts, model=HalfPrecisionGradients)


class GradientsNotCleared(CLLM):
    """A model that adds each gradient to the one before."""

    def forward_backward(self, tokens, targets):
        """What was there stays."""
        before = self.flat_gradients.copy()
        loss = super().forward_backward(tokens, targets)
        self.flat_gradients[...] += before
        return loss


@fault("gradients not cleared", "leftover gradients", "shadow optimizer")
def gradients_not_cleared(parts, settings):
    """Each batch's gradient is added to those of all batches before.

    Symptom
        The loss falls, and shakes, or climbs again; it ends above the sound twin's on nearly every seed.
    Exposed by
        What is left of the last batch's gradient when the next one has been computed.
    Source
        optimizer.zero_grad() forgotten: wenet-e2e/wekws pull request 73; karpathy/micrograd issue 78, on how easily it happens.
    Repair
        Clear the gradients before each backward pass.
    """
    return replace(parts, model=GradientsNotCleared)
