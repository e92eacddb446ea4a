"""Settings that must hold before NumPy is loaded: two test workers share two cores, so each gets one thread."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
