"""A failure of a command is one line and exit status 1."""

import sys
from collections.abc import Callable

from finalproject.errors import StartupError


def run(main: Callable[[], None]) -> None:
    try:
        main()
    except (OSError, StartupError, ValueError) as error:
        sys.exit(" ".join(str(error).split()))
