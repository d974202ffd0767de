"""The upper bound: ONNX Runtime without a server, on batches of texts of similar length.

`python -m bench.limit TEXTS MODEL...` compares models, for example model and model-other, in 10 rounds of 2 s.
"""

import argparse
import random
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from finalproject.cpus import available_cpus
from finalproject.model import SentimentModel, inputs
from trainer.command import run

from .results import ratios, read_texts, setting, spread
from .servers import PROJECT

FOLDER = PROJECT / "model"
CORES = available_cpus()


class Configuration(NamedTuple):
    callers: int  # threads that call the session at the same time
    threads: int  # threads that ONNX Runtime uses for one call
    batch_size: int  # texts per call

    def __str__(self) -> str:
        return f"{self.callers} callers, {self.threads} threads per call, {self.batch_size} texts per call"


CONFIGURATIONS = [
    Configuration(1, CORES, 1),
    Configuration(1, CORES, 32),
    *(Configuration(CORES, 1, batch_size) for batch_size in (1, 2, 4, 8, 16)),
]


class Limit:
    def __init__(self, folder: Path, texts: list[str]) -> None:
        self._path = folder / "model.onnx"
        self._model = model = SentimentModel(folder)
        self._texts = sorted(texts, key=lambda text: len(model.encode([text])[0]))
        self._sessions: dict[int, Any] = {}

    def texts_per_second(self, configuration: Configuration, seconds: float) -> float:
        """The throughput, tokenization included."""
        callers, threads, size = configuration
        session = self._session(threads)
        batches = [self._texts[start : start + size] for start in range(0, len(self._texts), size)]
        random.Random(0).shuffle(batches)  # noqa: S311
        counts, end = [0] * callers, time.perf_counter() + seconds

        def call(caller: int) -> None:
            number = caller
            while time.perf_counter() < end:
                batch = self._model.encode(batches[number % len(batches)])
                session.run(None, inputs(batch))
                counts[caller] += len(batch)
                number += callers

        start = time.perf_counter()
        workers = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(counts) / (time.perf_counter() - start)

    def best_configuration(self, rounds: int = 3, seconds: float = 0.5) -> Configuration:
        """By the median: the highest single value would be chance."""
        values = [
            [self.texts_per_second(configuration, seconds) for configuration in CONFIGURATIONS] for _ in range(rounds)
        ]
        medians = [median(column) for column in zip(*values, strict=True)]
        return CONFIGURATIONS[medians.index(max(medians))]

    def _session(self, threads: int) -> Any:  # noqa: ANN401 - onnxruntime has no types
        import onnxruntime  # after finalproject.model, which disables its telemetry

        if threads not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            self._sessions[threads] = onnxruntime.InferenceSession(
                self._path, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[threads]


def milliseconds_per_call(model: SentimentModel, texts: list[str], seconds: float) -> float:
    """The median time for one text from string to scores, called as the service calls it."""
    times, end = [], time.perf_counter() + seconds
    for number in range(10**6):
        start = time.perf_counter()
        if start > end:
            break
        model.predict(model.encode([texts[number % len(texts)]]))
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, help="dev.tsv of SST-2, or a file with one text per line")
    parser.add_argument("models", nargs="+", type=Path, help="folders; ratios are to the first one")
    arguments = parser.parse_args()
    limits = {folder: Limit(folder, read_texts(arguments.texts)) for folder in arguments.models}
    configuration = limits[arguments.models[0]].best_configuration()
    values: dict[Path, list[float]] = {folder: [] for folder in limits}
    for number in range(setting("ROUNDS", 10)):
        for folder in list(limits)[:: -1 if number % 2 else 1]:
            values[folder].append(limits[folder].texts_per_second(configuration, setting("SECONDS", 2)))
    print(f"{configuration}; median (lowest to highest)\n\n| model | texts/s | ratio |\n|---|---|---|")
    for folder, row in values.items():
        print(f"| {folder} | {spread(row)} | {spread(ratios(row, values[arguments.models[0]]), '.2f')} |")


if __name__ == "__main__":
    run(main)
