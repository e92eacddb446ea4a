"""`python -m cllm_lib`, the same as the command `cllm`: see :mod:`cllm_lib.cli`."""

import _signal as signal  # the built-in half: the other takes a moment to import, in which Ctrl-C would leave a traceback
import os
import sys

INTERRUPTED = 130


def main():
    """Run the command line; Ctrl-C ends it without a traceback, also while its parts are still being imported."""
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where the shell has turned Ctrl-C off
    if listens:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    from cllm_lib.cli import main as run

    try:
        if listens:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if listens:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done, and saved


if __name__ == "__main__":
    sys.exit(main())
