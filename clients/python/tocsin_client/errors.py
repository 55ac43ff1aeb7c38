"""The end of a call of the HTTP API that has no answer, or a refusal for one."""

from __future__ import annotations


class ApiError(Exception):
    """A problem (RFC 9457) that the server answered, or that it could not be reached.

    *status* is 0 where there was no answer; *code* is the problem's, or `unreachable` (nothing of
    the call was heard), `timeout`, `lost` or `closed` (it may have been carried out), `token`
    (your function gave none), or `not_tocsin` for an answer that is none of a Tocsin server.
    *fields* are the paths of what was wrong in a body, *after* the seconds until another try is
    worth it, if the server said so.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        after: float | None = None,
        fields: tuple[str, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.after = after
        self.fields = fields

    @property
    def is_passing(self) -> bool:
        """Whether the same call may succeed later."""
        if self.code in {"not_tocsin", "idempotency_in_flight"}:
            return self.status >= 500 or self.code == "idempotency_in_flight"
        return self.status in {0, 408, 425, 429} or self.status >= 500
