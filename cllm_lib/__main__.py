"""`python -m cllm_lib`: see :mod:`cllm_lib.cli`."""

import sys

from cllm_lib.cli import main

sys.exit(main())
