"""The limit: ONNX Runtime alone, without a server, on batches of texts of like length."""

import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

from finalproject.cpus import cpus
from finalproject.model import SentimentModel, inputs

CORES = cpus()
FOLDER = Path(__file__).parents[1] / "model"
WAYS = [(1, CORES, 1), (1, CORES, 32), *((CORES, 1, size) for size in (1, 2, 4, 8, 16))]  # callers, threads, texts


def texts_a_second(model: SentimentModel, texts: Sequence[str], way: tuple[int, int, int], seconds: float) -> float:
    """Of so many callers of one session with so many threads, with so many texts a call; tokens are made in it, too."""
    callers, threads, size = way
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", options, providers=["CPUExecutionProvider"])
    ordered = sorted(texts, key=lambda text: len(model.encode([text])[0]))
    batches = [ordered[at : at + size] for at in range(0, len(ordered), size)]
    random.Random(0).shuffle(batches)  # noqa: S311
    counts, end = [0] * callers, time.perf_counter() + seconds

    def work(number: int) -> None:
        turn = number
        while time.perf_counter() < end:
            batch = model.encode(batches[turn % len(batches)])
            session.run(None, inputs(batch))
            counts[number] += len(batch)
            turn += callers

    began = time.perf_counter()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(callers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - began)


def best_way(model: SentimentModel, texts: Sequence[str], seconds: float) -> tuple[int, int, int]:
    """By the medians of five looks at each: the largest of single looks would be the luckiest one's."""
    looks = [[texts_a_second(model, texts, way, seconds) for way in WAYS] for _ in range(5)]
    return max(zip(WAYS, zip(*looks, strict=True), strict=True), key=lambda of: median(of[1]))[0]


def one_at_a_time(model: SentimentModel, texts: Sequence[str]) -> float:
    """Milliseconds of one text, tokens to scores, as the service does it: the median."""
    taken = []
    for text in texts:
        began = time.perf_counter()
        model.predict(model.encode([text]))
        taken.append(1e3 * (time.perf_counter() - began))
    return float(np.median(taken))


def read(path: Path) -> list[str]:
    """The texts of a file with one a line, or of SST-2's dev.tsv."""
    lines = path.read_text().splitlines()
    return [line.split("\t")[0].strip() for line in lines[1:]] if lines[0].startswith("sentence\t") else lines
