"""Posts on their way to the server: alone or many in one call, and when to try again.

Nothing here does I/O: `producer` and `sync` carry it out. Each post has an idempotency key from the
beginning, so that repeating a call whose answer was lost posts nothing twice.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tocsin_client.errors import ApiError
from tocsin_client.transport import Call, problem_of

BATCH_MAX: Final = 1000
"""Posts in one call: the server takes no more."""
BATCH_BYTES_MAX: Final = 4 * 2**20
"""Bytes of one call: a quarter of what the server takes by default."""
PATIENCE: Final = 60.0
"""Seconds for which a call is repeated: a node restarts, or a store fails over, in less."""
DELAY_INITIAL: Final = 0.25
"""Seconds before the second try, at most; doubled by each failure."""
DELAY_CAP: Final = 10.0
"""Seconds up to which the delay doubles."""
PATH: Final = "/v1/notifications"


@dataclass(frozen=True, slots=True)
class Posted:
    """Taken by the server. *replayed*: it had been posted before, with the same key. *spooled*: it
    is durable in the spool, and stored as soon as the server's store is back."""

    id: str
    replayed: bool = False
    spooled: bool = False


@dataclass(slots=True)
class Attempts:
    """How often a call has failed, and until when (by the clock of `now`) it is repeated."""

    deadline: float
    failures: int = 0

    def delay(self, error: ApiError, now: float, random: Callable[[], float]) -> float | None:
        """Seconds until the next try after *error*; None where there is none."""
        self.failures += 1
        full = min(DELAY_CAP, DELAY_INITIAL * 2.0 ** min(self.failures - 1, 16))
        delay = full * random() if error.after is None else error.after
        return delay if error.is_passing and now + delay < self.deadline else None


@dataclass(slots=True, eq=False)
class Post:
    """One post on its way; *outcome* is there when it is over."""

    draft: Mapping[str, Any]
    key: str
    attempts: Attempts
    line: bytes = b""
    outcome: Posted | ApiError | None = None
    settled: Callable[[], None] = field(default=lambda: None)

    def settle(self, outcome: Posted | ApiError) -> None:
        self.outcome = outcome
        self.settled()


def draft(to: str | Iterable[str] | Mapping[str, Any], title: str, **fields: Any) -> dict[str, Any]:
    """A notification as it is posted: *to* is a user, users, or `{"topic": …}`, `{"all": True}`.
    Fields that are None are left out."""
    if isinstance(to, str):
        to = {"users": [to]}
    elif not isinstance(to, Mapping):
        to = {"users": list(to)}
    given = {name: value for name, value in fields.items() if value is not None}
    return {"to": dict(to), "title": title, **given}


def new_post(draft: Mapping[str, Any], key: str | None, deadline: float) -> Post:
    """*draft* with *key*, or one of its own."""
    key = str(uuid.uuid4()) if key is None else key
    line = json.dumps({**draft, "idempotency_key": key}, separators=(",", ":")).encode()
    return Post(draft, key, Attempts(deadline), line)


def take(waiting: Sequence[Post]) -> int:
    """How many of the *waiting*, from the first, go in one call."""
    size = 0
    for number, post in enumerate(waiting[:BATCH_MAX]):
        size += len(post.line) + 1
        if number and size > BATCH_BYTES_MAX:
            return number
    return min(len(waiting), BATCH_MAX)


def call_of(posts: Sequence[Post]) -> Call:
    """The call that posts them."""
    if len(posts) == 1:
        body = json.dumps(posts[0].draft, separators=(",", ":")).encode()
        return Call("POST", PATH, body, {"Idempotency-Key": posts[0].key})
    body = b"\n".join(post.line for post in posts)
    return Call("POST", f"{PATH}/batch", body, media_type="application/x-ndjson")


def outcomes_of(
    posts: Sequence[Post], answer: Any, headers: Mapping[str, str]
) -> list[Posted | ApiError]:
    """The outcome of each, by the *answer*. Raises `ApiError` for an answer that is none."""
    alone = len(posts) == 1
    replayed = headers.get("Idempotency-Replayed") == "true"
    try:
        if alone:
            spooled = answer.get("durability") == "spooled"
            return [Posted(answer["id"], replayed, spooled)]
        results = [_outcome(each) for each in answer["results"]]
    except (KeyError, TypeError, AttributeError):
        raise _strange() from None
    if len(results) != len(posts):
        raise _strange()
    return results


def settle(
    posts: Sequence[Post],
    outcomes: Sequence[Posted | ApiError],
    now: float,
    random: Callable[[], float],
) -> tuple[list[Post], float]:
    """Settle *posts* by their *outcomes*; those to be sent again, and after how many seconds."""
    again: list[Post] = []
    longest = 0.0
    for post, outcome in zip(posts, outcomes, strict=True):
        delay = None
        if isinstance(outcome, ApiError):
            delay = post.attempts.delay(outcome, now, random)
        if delay is None:
            post.settle(outcome)
        else:
            again.append(post)
            longest = max(longest, delay)
    return again, longest


def _outcome(result: Mapping[str, Any]) -> Posted | ApiError:
    status: int = result["status"]
    if status < 300:
        return Posted(result["id"], result.get("replayed", False), status == 202)
    return problem_of(result["problem"], status)


def _strange() -> ApiError:
    return ApiError(200, "not_tocsin", "the answer (200) is not one of a Tocsin server")
