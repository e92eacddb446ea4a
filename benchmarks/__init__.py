"""How fast the library is, beside PyTorch, JAX and the matrix products alone: `make bench`."""
