"""Training that follows something else than the loss it prints."""

import numpy as np

from cllm_lib.model.transformer import CLLM


class GradientOfAnotherLoss(CLLM):
    """A model that prints the cross-entropy and goes backward through something else.

    What it did
        Took `target_embedding - current_embedding` for the gradient of the current word's embedding. That is, up to
        a factor and its sign, the gradient of half their squared distance; as the update subtracts it, each step
        carries a word *away* from the one that follows it. Nothing else got a gradient.
    Symptom
        Parameters move at every step, and the printed loss does not follow.
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
        np.add.at(self.gradients["embedding"], tokens, (embedding[targets] - embedding[tokens]) / tokens.size)
        return loss
