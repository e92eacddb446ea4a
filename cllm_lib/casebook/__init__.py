"""The casebook: patients with a hidden fault, for the reader to find by measuring."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "belief": (
            "Experience best_question difficulties experience information most_telling prior shares_told "
            "solve table told_by updated words_of_patients"
        ),
        "cases": "Case CaseVerdict DEFECTS admit patient_of",
        "cold": "COLD_CASES ColdCase OpenColdCase open_cold_case",
        "curves": "looks_healthy",
        "decoders": "faulty_chat_model",
        "encoders": "faulty_encoder",
        "faults": "HEALTHY",
        "line_up": "three_cases",
        "patients": "attention_patients faulty_quantizer gradient_patients spoilt_texts stuck_trainers",
        "script": "examine_script pytorch_here stuck_script",
        "scoreboard": "Scoreboard class_case daily",
        "settings": "Settings draw_settings",
        "tree": "measured places trunk",
        "voices": "five_voices",
    },
)
