"""Training that follows something else than the loss it prints, moves a part of the weights, or hears a part of the batch."""

import numpy as np

from cllm_lib.defects.catalogue import exhibit
from cllm_lib.model.layers import embedding_backward
from cllm_lib.model.transformer import CLLM, TokenEmbedding
from cllm_lib.training.optimizers import SGD


@exhibit("gradient of another loss", "model", CLLM, 3)
class GradientOfAnotherLoss(CLLM):
    """A model that prints the cross-entropy and goes backward through something else.

    What it did
        Took `target_embedding - current_embedding` for the gradient of the current word's embedding. That is, up to
        a factor and its sign, the gradient of half their squared distance; as the update subtracts it, each step
        carries a word *away* from the one that follows it. Nothing else got a gradient.
    Symptom
        Parameters move at every step, and the printed loss does not follow them down: it rises.
    Exposed by
        The gradient check against the printed loss.
    In the documents
        004, section "Gradient Computation", `grad[token_id] += (target_embedding - current_embedding)`.
    """

    def forward_backward(self, tokens, targets):
        """Return the cross-entropy; leave the gradient of the other loss."""
        loss = self.loss(tokens, targets)
        tokens, targets = np.ravel(tokens), np.ravel(targets)
        embedding = self.parameters["embedding"]
        self.flat_gradients.fill(0.0)
        toward_target = (embedding[targets] - embedding[tokens]) / tokens.size
        embedding_backward(toward_target, (tokens, len(embedding)), out=self.gradients["embedding"])
        return loss


class TowardTheTarget(GradientOfAnotherLoss):
    """The same with the other sign, so that a step carries a word towards the one that follows it.

    What it did
        Nothing in the program, which had the sign of :class:`GradientOfAnotherLoss`. With this one it is, up to a factor,
        the gradient of half the squared distance between a word's embedding and the next one's, as the sentence in the
        document has it.
    Symptom
        Words that follow one another draw together, and the printed loss hardly moves.
    Exposed by
        The gradient check against the printed loss.
    In the documents
        004, section "Design Decisions", "Simplified Loss: Using embedding similarity allows training to work
        immediately".
    """

    def forward_backward(self, tokens, targets):
        """Return the cross-entropy; leave the turned gradient of the other loss."""
        loss = super().forward_backward(tokens, targets)
        self.flat_gradients *= -1.0
        return loss


class LastOneWins(TokenEmbedding):
    """A word that occurs several times in a batch gets the gradient of its last place only: "=" where "+=" belongs.

    What it did
        Nothing in the program, which added gradients up: it is what a batch would be without that, taken word by word.
    Symptom
        The loss falls, hardly less far.
    Exposed by
        The gradient check of the embedding, in rows of words that occur more than once.
    In the documents
        004, section "What We Learned", "Gradient Accumulation: Essential for batch training".
    """

    def backward(self, dx, cache, out):
        """Add what comes last, once."""
        tokens = np.ravel(cache[0])
        last = np.zeros_like(out)
        last[tokens] = dx.reshape(len(tokens), -1)
        out += last


class LastSequenceWins(CLLM):
    """Of a batch, the gradient of its last sequence only.

    What it did
        Nothing in the program, which added gradients up: it is what a batch would be without that, taken sequence by
        sequence. The loss is that of the last sequence too.
    Symptom
        The loss falls, less far.
    Exposed by
        Changing a sequence that is not the last: the gradient stays the same to the last bit.
    In the documents
        004, section "What We Learned", "Gradient Accumulation: Essential for batch training".
    """

    def forward_backward(self, tokens, targets):
        """As the sound one, on the last row."""
        return super().forward_backward(tokens[-1:], targets[-1:])


@exhibit("only embeddings updated", "optimizer", lambda model: SGD(1e-3), 15)
class OnlyEmbeddings:
    """An optimiser that stops where the embedding ends.

    What it did
        The loop that applied the gradients ran over the embedding's share of the weights, by plain SGD, while a setting
        that nobody could see said "adam". Every other weight had its gradient computed and never got a step.
    Symptom
        The loss falls, so that training seems to work, and stops early on a text that needs attention.
    Exposed by
        Comparing every tensor with itself before and after one step: all but the embedding are the same to the last bit.
    In the documents
        004, "Parameter Updates: Only embeddings", and "Production-ready for embedding training".

    Parameters
    ----------
    model : CLLM
        Whose embedding is updated; it is the first share of the flat buffer.
    optimizer : object, optional
        What updates it; plain SGD at 0.001 by default, as in the program.
    """

    def __init__(self, model, optimizer=None):
        self.size = model.parameters["embedding"].size
        self.optimizer = SGD(1e-3) if optimizer is None else optimizer

    @property
    def learning_rate(self):
        """That of the optimiser inside, so that a schedule reaches it."""
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate):
        self.optimizer.learning_rate = rate

    def step(self, parameters, gradients):
        """Update the first share, in place."""
        self.optimizer.step(parameters[: self.size], gradients[: self.size])
