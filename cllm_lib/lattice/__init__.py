"""Lattices: primes, curves through the plane, similarity by features, positional encodings, lattice reduction."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "primes": "count_prime_factors factorize first_primes prime_count primes_below smallest_factors",
        "spirals": (
            "cone_coordinates hilbert_coordinates hilbert_index morton_coordinates morton_index "
            "row_major_coordinates row_major_index sacks_coordinates ulam_coordinates ulam_index "
            "vogel_coordinates"
        ),
        "locality": (
            "GRID_CURVES Spread cone_distance curve_grid locality_order memory_distances nearest_numbers "
            "plane_distances prime_density quadratic_values spread"
        ),
        "similarity": ("feature_matrix feature_primes feature_similarities feature_similarity goedel_numbers letter_ngrams nearest_words"),
        "encodings": (
            "GOLDEN_ANGLE clock_positions frequencies prime_positions rotate rotate_backward rotation_angles "
            "sinusoidal_positions spiral_positions"
        ),
        "biases": "alibi_slopes distance_bias distance_bias_backward token_distances ulam_distances",
        "entries": "LATTICE_ENTRY NU PHI LatticeCache build_lattice clock_angle growth_exponent",
        "integers": "is_unimodular",
        "orthogonalization": "gram_schmidt",
        "knapsacks": "knapsack",
        "gauss": "gauss_reduce gauss_steps",
        "lll": "Step is_lll_reduced lll_reduce lll_steps",
        "search": "babai_nearest_plane shortest_vector",
        "relations": "integer_relation",
        "quality": "hermite_factor minkowski_bound orthogonality_defect",
    },
)
