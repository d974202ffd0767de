"""A queue of texts with fair queueing between requests. It returns batches of texts of similar length.

Fair queueing (https://en.wikipedia.org/wiki/Fair_queuing): each text has a start in virtual time. The first text of a
request starts at the present virtual time, each further one after the tokens of those before it. A batch advances the
virtual time by its tokens, divided by the number of requests that wait. So 1,000 texts of one request delay no other.
"""

import asyncio
from bisect import bisect_left, insort
from collections import Counter
from itertools import count, islice
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
        self.texts: dict[Tokens, Text] = {}  # those that wait or are computed
        self.waiting: list[Text] = []  # sorted by position
        self.waiting_tokens: Counter[Request] = Counter()
        self.virtual_time = 0.0

    def add(self, request: Request, texts: list[Tokens]) -> int:
        """Returns how many texts were already there, of this request or another. They keep the earlier position."""
        start, shared = self.virtual_time, 0
        for place, tokens in enumerate(texts):
            text = self.texts.get(tokens)
            if not text:
                text = self.texts[tokens] = Text(tokens, start, next(self._numbers))
                self._insert(text)
            else:
                shared += 1
                if text.waiting and start < text.position[0]:
                    self._delete(text)
                    text.position = (start, text.position[1])
                    self._insert(text)
            text.requests.append((request, place))
            request.texts.append(text)
            if text.waiting:
                self.waiting_tokens[request] += text.length
            start += text.length
        return shared

    def remove(self, request: Request) -> None:
        """Removes the texts that no other request contains."""
        self.waiting_tokens.pop(request, None)
        for text in dict.fromkeys(request.texts):  # a text may be in a request twice
            text.requests = [entry for entry in text.requests if entry[0] is not request]
            if text.waiting and not text.requests:
                self._delete(text)
                del self.texts[text.tokens]

    def take(self) -> list[Text]:
        """The next text, and those of the LOOKAHEAD next ones whose length is most similar."""
        first, batch, longest = self.waiting[0].length, list[Text](), 0

        def difference(text: Text) -> int:
            return abs(text.length - first)

        for text in sorted(islice(self.waiting, LOOKAHEAD), key=difference):
            longest = max(longest, text.length)
            if batch and (difference(text) > MAX_LENGTH_DIFFERENCE or longest * (len(batch) + 1) > self._batch_tokens):
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

    def _insert(self, text: Text) -> None:
        insort(self.waiting, text, key=attrgetter("position"))

    def _delete(self, text: Text) -> None:
        del self.waiting[bisect_left(self.waiting, text.position, key=attrgetter("position"))]
