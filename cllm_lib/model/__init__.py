"""The sound model, and nothing but: every historical bug lives in :mod:`cllm_lib.defects`."""
