"""Training: the loop, optimizers, learning-rate schedules, regularizers, checkpoints, and the history of a run."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "trainer": "Trainer TrainingDiverged validation_loss validation_windows",
        "history": "Best History",
        "checkpoint": "CheckpointError TrainingState load_checkpoint previous save_checkpoint",
        "optimizers": "OPTIMIZERS SGD Adam AdamW Momentum RMSProp clip_by_global_norm make_optimizer",
        "schedules": "SCHEDULES constant cosine make_schedule warmup warmup_cosine",
        "regularizers": "LaplacianRegularizer geometric_agreement goedel_gap laplacian renaming_gap rotation_gap",
        "callbacks": "every look_for_trouble save_to speak",
        "range_test": "learning_rate_range_test",
        "ravine": "ravine_gradient ravine_loss ravine_path",
    },
)
