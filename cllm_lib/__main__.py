"""`python -m cllm_lib`, the same as the command `cllm`: see :mod:`cllm_lib.cli`."""

import sys

from cllm_lib.cli import main

sys.exit(main())
