"""What only a reader sees: exercises that answer, figures, widgets. The model never imports this."""

from cllm_lib.browser import in_browser
from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "exercises.checking": "check",
        "exercises.matrix_product": "matmul_backward",
        "scores": "score",
        "machine": "check_machine",
        "gallery": "GALLERY",
        "going_on": "or_go_on",
        "row_order": "compare numbered_as_met row_orders zipf_stream",
    },
)

if in_browser():
    from cllm_lib.workbook.going_on import go_on_in_a_browser

    go_on_in_a_browser()
