"""Figures of the chapters: colour-blind-safe, readable in a dark theme and on paper, each with its sentence and numbers."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "training": (
            "GREY LINE_STYLES angles_on_the_way_back attention_map attention_maps bars buffer_layout "
            "computation_graph draw_levels draw_lines error_against_step gradient_by_layer gradient_scatter "
            "loss_curves new_axes numbers_drawn pair_matrix ravine repair_ladders several_axes show "
            "training_report two_sets uniform_loss_curve"
        ),
        "encodings": "intervals likeness_by_distance position_maps turned_arrows",
        "uncertainty": "coverage effects seed_by_seed survival",
        "planes": ("CURVES by_factors by_frequency by_prime by_residue colouring number_plane numbers_written places raster"),
        "reduction": "cliff gauss_pictures lengths_by_dimension plane potential_curve rounding_cells shadow",
        "computation": "gradients_of record",
    },
)
