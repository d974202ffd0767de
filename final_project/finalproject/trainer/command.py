"""Exit statuses: 1 with one line for an expected failure, 130 for Ctrl-C, 143 for SIGTERM."""

import sys
from collections.abc import Callable

from finalproject.errors import StartupError

from . import exit_on_signals


def run(main: Callable[[], None]) -> None:
    exit_on_signals()
    try:
        main()
    except (OSError, StartupError, ValueError) as error:
        sys.exit(" ".join(str(error).split()))
