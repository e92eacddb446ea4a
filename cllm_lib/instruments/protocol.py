"""What instruments ask of a model: any object with these attributes and methods can be looked at."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Examinable(Protocol):
    """A model whose parameters and gradients lie in two flat buffers, with named views into each.

    :class:`~cllm_lib.model.transformer.CLLM` is one; a model of another framework becomes one by an adapter that offers
    its arrays under these names.

    Attributes
    ----------
    parameters : mapping of str to ndarray
        Views into `flat_parameters`, in the order of the buffer; writing into one changes the model.
    flat_parameters, flat_gradients : ndarray, shape (n_parameters,)
        All weights, and the gradients of the last call.
    """

    parameters: object
    flat_parameters: object
    flat_gradients: object

    def loss(self, tokens, targets):  # 2 x (B, T) -> float
        """Return the mean cross-entropy of a batch in nats, and change nothing."""

    def loss_and_gradients(self, tokens, targets):  # 2 x (B, T) -> float, dict of str to ndarray
        """Return the loss and, by the names of `parameters`, its gradients, as copies."""

    def with_parameters(self, flat_parameters):  # (n_parameters,) -> Examinable
        """Return the same model on other weights, which it does not copy, in their type."""
