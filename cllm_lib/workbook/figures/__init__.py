"""Figures of the chapters: colour-blind-safe, readable in a dark theme and on paper, each with its sentence and numbers."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "style": "BLUE GREY LINE_STYLES VERMILION draw_levels draw_lines new_axes numbers_drawn several_axes show",
        "losses": "bars loss_curves pair_matrix repair_ladders training_report uniform_loss_curve",
        "gradients": "angles_on_the_way_back buffer_layout error_against_step gradient_by_layer gradient_scatter",
        "computation": "computation_graph gradients_of record",
        "cases": "before_and_after beliefs case_curves question_tree what_instruments_tell",
        "heatmaps": "attention_map attention_maps",
        "descent": "ravine",
        "sets": "two_sets",
        "encodings": "intervals likeness_by_distance position_maps turned_arrows",
        "uncertainty": "coverage effects seed_by_seed specification_curve survival",
        "planes": ("CURVES by_factors by_frequency by_prime by_residue colouring number_plane numbers_written places raster"),
        "reduction": "cliff gauss_pictures lengths_by_dimension plane potential_curve rounding_cells shadow",
    },
)
