"""Widgets: each stands beside a static figure, works from the keyboard, and writes no output of its own."""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "attention": "AttentionViewer",
        "chat": "ChatPanel chat_panel",
        "choosing": "Chosen choices runners_svg tokens_html visible_token",
        "dashboard": "TrainingDashboard training_dashboard",
        "encodings": "PositionViewer RotationViewer position_viewer rotation_viewer",
        "gradients": "GradientInspector",
        "ravine": "OptimizerRavine",
        "reduction": "GaussViewer LLLViewer gauss_viewer lll_viewer steps_of",
        "spirals": "SpiralExplorer spiral_explorer",
        "uniform_loss": "UniformLossExplorer",
    },
)
