"""Fine-tunes, exports, fuses, quantizes and evaluates the model. See MODEL.md in the folder above the project."""

import os
import signal
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any module imports ONNX Runtime, which reads it on import


def exit_on_signals() -> None:
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


if sys.argv[0] == "-m":  # `python -m trainer.train` imports this package first, then for some seconds PyTorch
    exit_on_signals()
