"""Things to move. Each stands beside a static figure, works from the keyboard, and writes no output of its own."""

from cllm_lib.workbook.widgets.attention import AttentionViewer
from cllm_lib.workbook.widgets.dashboard import TrainingDashboard, training_dashboard
from cllm_lib.workbook.widgets.encodings import PositionViewer, RotationViewer, position_viewer, rotation_viewer
from cllm_lib.workbook.widgets.gradients import GradientInspector
from cllm_lib.workbook.widgets.ravine import OptimizerRavine
from cllm_lib.workbook.widgets.reduction import GaussViewer, LLLViewer, gauss_viewer, lll_viewer
from cllm_lib.workbook.widgets.spirals import SpiralExplorer, spiral_explorer
from cllm_lib.workbook.widgets.uniform_loss import UniformLossExplorer

__all__ = [
    "AttentionViewer",
    "GaussViewer",
    "GradientInspector",
    "LLLViewer",
    "OptimizerRavine",
    "PositionViewer",
    "RotationViewer",
    "SpiralExplorer",
    "TrainingDashboard",
    "UniformLossExplorer",
    "gauss_viewer",
    "lll_viewer",
    "position_viewer",
    "rotation_viewer",
    "spiral_explorer",
    "training_dashboard",
]
