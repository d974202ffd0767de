"""Exit statuses: 1 with one line for an expected failure, 130 for Ctrl-C, 143 for SIGTERM."""

import signal
import sys
from collections.abc import Callable

from finalproject.errors import StartupError


def run(main: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, StartupError, ValueError) as error:
        sys.exit(" ".join(str(error).split()))
