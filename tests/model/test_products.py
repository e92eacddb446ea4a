import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.browser import in_browser
from cllm_lib.model import products
from cllm_lib.model.products import product, product_without_blas


def test_where_there_is_blas_it_is_numpys():
    assert (product is np.matmul) is not in_browser()


@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.sampled_from([((), ()), ((2,), (2,)), ((), (3,)), ((3,), ()), ((2, 1), (1, 3))]),
    st.tuples(*[st.booleans()] * 3),
    st.sampled_from([np.float64, np.float32]),
    st.integers(0, 99),
)
def test_it_is_the_product_to_rounding(sizes, several, options, dtype, seed):
    (n, k, m), generator = sizes, np.random.default_rng(seed)
    turned_a, turned_b, into = options

    def matrices(several, rows, columns, turned):
        x = generator.normal(size=(*several, columns, rows) if turned else (*several, rows, columns)).astype(dtype)
        return x.mT if turned else x

    a, b = matrices(several[0], n, k, turned_a), matrices(several[1], k, m, turned_b)
    right = np.matmul(a, b)
    out = np.full_like(right, np.nan) if into else None
    found = product_without_blas(a, b, out)
    assert found.shape == right.shape
    assert found.dtype == right.dtype
    assert out is None or found is out
    np.testing.assert_allclose(found, right, rtol=0, atol=(1e-13 if dtype is np.float64 else 1e-4) * k)


@pytest.mark.parametrize(("rows", "by"), [(2, "matmul"), (64, "einsum")])
def test_small_ones_are_left_to_numpys_product(rows, by, monkeypatch):
    called = []
    for name in ("matmul", "einsum"):
        usual = getattr(np, name)
        monkeypatch.setattr(products.np, name, lambda *args, name=name, usual=usual, **named: called.append(name) or usual(*args, **named))
    x = np.ones((rows, 32))
    product_without_blas(x, np.ones((32, 32)))
    assert called == [by]


@pytest.mark.parametrize(("a", "b"), [((200, 1), (200, 30)), ((200, 30), (1, 200)), ((2, 99, 99), (3, 99, 99)), ((2000,), (30, 2000))])
def test_shapes_that_do_not_go_together_are_refused(a, b):
    with pytest.raises(ValueError, match=r"mismatch"):
        product_without_blas(np.ones(a), np.ones(b))


def test_a_row_by_itself_has_no_second_axis():
    assert product_without_blas(np.ones(50_000), np.ones((50_000, 2))).shape == (2,)
