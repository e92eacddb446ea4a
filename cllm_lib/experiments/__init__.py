"""Experiments: variants times seeds, run in parallel and kept by content, with what their few values allow one to say."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "runs": "run",
        "intervals": (
            "CONFIDENCE Interval bootstrap_interval bounded_interval detectable_effect exact_binomial_interval holm interval "
            "p_value paired_difference studentized_bootstrap_interval"
        ),
        "survival": "kaplan_meier restricted_mean",
    },
)
