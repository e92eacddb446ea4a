"""Tensors in tuples, lists, dictionaries and objects: found in order, exchanged one by one, all else as it was."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")

from cllm_lib.instruments.torch import structures  # noqa: E402
from cllm_lib.instruments.torch.structures import exchanged, main_output, mapped, tensors_in  # noqa: E402

Two = namedtuple("Two", ["one", "other"])


@dataclass(frozen=True)
class Frozen:
    one: object
    other: object


TENSOR = "a tensor"
FORMS = {
    "list": list,
    "tuple": tuple,
    "dictionary": lambda values: {f"name {k}": value for k, value in enumerate(values)},
    "numbered": lambda values: dict(enumerate(values)),
    "ordered": lambda values: OrderedDict((str(k), value) for k, value in enumerate(values)),
    "named": lambda values: Two(*[*values, None, None][:2]),
    "frozen": lambda values: Frozen(*[*values, None, None][:2]),
}
TREES = st.recursive(
    st.sampled_from([TENSOR, TENSOR, None, 3, 2.5, "text", True]),
    lambda inner: st.tuples(st.sampled_from(sorted(FORMS)), st.lists(inner, max_size=3)),
    max_leaves=12,
)


def built(tree, tensors):
    """The structure of a tree, its tensors numbered in the order in which they stand, and put into a list."""
    if isinstance(tree, tuple):
        form, inner = tree
        return FORMS[form]([built(one, tensors) for one in (inner[:2] if form in ("named", "frozen") else inner)])
    if tree != TENSOR:
        return tree
    tensors.append(torch.tensor([float(len(tensors))]))
    return tensors[-1]


def told(structure):
    """A structure as text: all its types, names and numbers."""
    return repr(structure)


@given(TREES)
def test_tensors_are_found_in_the_order_in_which_they_stand(tree):
    tensors = []
    structure = built(tree, tensors)
    found = tensors_in(structure)
    assert len(found) == len(tensors)
    assert all(one is other for one, other in zip(found, tensors, strict=True))


@given(TREES)
def test_mapped_by_nothing_is_equal_and_another(tree):
    structure = built(tree, tensors := [])
    other = mapped(structure, lambda tensor: tensor)
    assert told(other) == told(structure)
    assert all(one is two for one, two in zip(tensors_in(other), tensors, strict=True))
    assert other is not structure or not tensors or structure is tensors[0]


@given(TREES)
def test_every_tensor_is_changed_and_the_first_structure_stays(tree):
    structure, twin = built(tree, []), built(tree, wanted := [])
    before = told(structure)
    for tensor in wanted:
        tensor.mul_(10.0).add_(1.0)
    assert told(mapped(structure, lambda tensor: 10.0 * tensor + 1.0)) == told(twin)
    assert told(structure) == before


@given(TREES, st.integers(0, 20))
def test_one_tensor_is_exchanged_and_no_other(tree, k):
    structure = built(tree, tensors := [])
    if not tensors:
        return
    k, new = k % len(tensors), torch.zeros(2)
    found = tensors_in(exchanged(structure, tensors[k], new))
    assert [one is (new if j == k else tensors[j]) for j, one in enumerate(found)] == [True] * len(tensors)


def test_what_logits_are_called_is_the_main_output_else_the_first_with_fractions():
    whole, first, logits = torch.tensor([1]), torch.tensor([1.0]), torch.tensor([2.0])
    assert main_output({"loss": first, "logits": logits}) is logits
    assert main_output(Frozen(whole, first)) is first
    assert main_output([whole, (first, logits)]) is first
    assert main_output((whole, None)) is None


def test_a_module_a_type_and_a_function_hold_nothing():
    assert tensors_in([torch.nn.Linear(2, 2), Frozen, lambda: 0, torch.nn.functional.relu]) == []


def test_sizes_stay_sizes_and_packed_rows_stay_packed():
    assert mapped(torch.Size([2, 3]), lambda tensor: tensor) == torch.Size([2, 3])
    rows = torch.nn.utils.rnn.pack_padded_sequence(torch.ones(2, 3, 4), torch.tensor([3, 1]), batch_first=True)
    doubled = mapped(rows, lambda tensor: 2.0 * tensor if tensor.is_floating_point() else tensor)
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(doubled, batch_first=True)
    assert padded.sum() == 2.0 * 4 * 4
    assert lengths.tolist() == [3, 1]


def test_sparse_becomes_dense_with_the_same_numbers():
    matrix = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    assert torch.equal(structures.dense(matrix.to_sparse()), matrix)
    assert structures.dense(matrix) is matrix
