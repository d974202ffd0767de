"""A queue of texts with fair queueing between requests. It returns batches of texts of similar length.

Fair queueing (https://en.wikipedia.org/wiki/Fair_queuing): each text has a start in virtual time. The first text of a
request starts at the present virtual time, each further one after the tokens of those before it. A batch advances the
virtual time by its tokens, divided by the number of requests that wait. So 1,000 texts of one request delay no other.
"""

import asyncio
from bisect import bisect_left, insort
from collections import Counter
from itertools import count, islice, repeat
from operator import attrgetter
from time import perf_counter
from typing import Any

Tokens = tuple[int, ...]
MAX_LENGTH_DIFFERENCE = 4  # tokens; more padding than this takes as long as a further call of the model
LOOKAHEAD = 64  # texts; it bounds the time of the search, and keeps batches near the fair order


class Request:
    """A request for the results of some texts. `future` gets the list of results, or the exception of one of them."""

    def __init__(self, size: int) -> None:
        self.texts: list[Text] = []
        self.results: list[Any] = [None] * size
        self.missing = size
        self.future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def deliver(self, place: int, result: object) -> None:
        self.results[place] = result
        self.missing -= 1
        if isinstance(result, Exception) and not self.future.done():
            self.future.set_exception(RuntimeError(repr(result)) if isinstance(result, StopIteration) else result)
        elif not self.missing and not self.future.done():
            self.future.set_result(self.results)


class Text:
    """The tokens of a text, and the requests that wait for its result, each with the text's place in the request."""

    def __init__(self, tokens: Tokens, start: float, number: int) -> None:
        self.tokens, self.length, self.position = tokens, len(tokens), (start, number)
        self.requests: list[tuple[Request, int]] = []
        self.arrival = perf_counter()
        self.waiting = True  # False: the model computes it


class FairQueue:
    """A batch has at most `batch_tokens` tokens, padding included, or one text."""

    def __init__(self, batch_tokens: int) -> None:
        self._batch_tokens = batch_tokens
        self._numbers = count()
        self.texts: list[Text] = []  # sorted by position
        self.virtual_time = 0.0
        self.waiting_tokens: Counter[object] = Counter()  # by request

    def add(self, tokens: Tokens, start: float) -> Text:
        text = Text(tokens, start, next(self._numbers))
        insort(self.texts, text, key=attrgetter("position"))
        return text

    def join(self, text: Text, request: Request, place: int, start: float) -> None:
        """The request waits for the text, too. The text keeps the earlier of both positions."""
        text.requests.append((request, place))
        if text.waiting:
            self.waiting_tokens[request] += text.length
            if start < text.position[0]:
                self._delete(text)
                text.position = (start, text.position[1])
                insort(self.texts, text, key=attrgetter("position"))

    def leave(self, text: Text, request: Request) -> bool:
        """The request does not wait any longer. Returns whether the text left the queue, because no request waits."""
        text.requests = [entry for entry in text.requests if entry[0] is not request]
        self.waiting_tokens.pop(request, None)
        if unused := text.waiting and not text.requests:
            self._delete(text)
        return unused

    def take(self) -> list[Text]:
        """The next text, and those of the LOOKAHEAD next ones whose length is most similar."""
        first = self.texts[0].length
        similar = [text for text in islice(self.texts, LOOKAHEAD) if abs(text.length - first) <= MAX_LENGTH_DIFFERENCE]
        similar.sort(key=lambda text: abs(text.length - first))
        batch: list[Text] = []
        longest = 0
        for text in similar:
            longest = max(longest, text.length)
            if batch and longest * (len(batch) + 1) > self._batch_tokens:
                break
            batch.append(text)
        self.virtual_time += sum(text.length for text in batch) / len(self.waiting_tokens)
        for text in batch:
            self._delete(text)
            text.waiting = False
            for request, _ in text.requests:
                self.waiting_tokens[request] -= text.length
                if not self.waiting_tokens[request]:
                    del self.waiting_tokens[request]
        return batch

    def tokens_before(self, tokens: int) -> int:
        """The number of tokens that are computed before a new request with `tokens` tokens is complete."""
        return sum(map(min, self.waiting_tokens.values(), repeat(tokens)))

    def _delete(self, text: Text) -> None:
        del self.texts[bisect_left(self.texts, text.position, key=attrgetter("position"))]
