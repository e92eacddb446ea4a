"""What only a reader sees: exercises that answer, figures, widgets. The model never imports this."""
