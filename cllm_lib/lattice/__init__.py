"""Primes, spirals and lattices as pure functions on arrays."""
