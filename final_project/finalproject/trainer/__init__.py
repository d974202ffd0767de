"""Fine-tunes, exports, fuses, quantizes and evaluates the model. See MODEL.md in the folder above the project."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any module imports ONNX Runtime, which reads it on import
