"""Which operation a request is for, by its method and its path.

A path is cut at its slashes before it is decoded, so a name may have any character in it, a slash
too (`%2F`). There is one address for each thing: no slash is added, left out or merged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from tocsin.protocol.refusal import Refusal, Refused, refuse
from tocsin.server.api.operation import Operation

_SEGMENTS_MAX: Final = 16
"""Segments of a path that are told apart; no route has as many, so a longer path is not found."""


class MethodNotAllowed(Refused):
    """The path is known, but not with this method; *allowed* are those it has."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(
            Refusal(
                code="method_not_allowed",
                detail="There is nothing to do this way here.",
                headers=(("Allow", ", ".join(allowed)),),
            )
        )


@dataclass(slots=True)
class _Route:
    """One path: *segments* with `None` where a name stands, and what can be done there."""

    segments: tuple[str | None, ...]
    names: tuple[str, ...]
    by_method: dict[str, Operation] = field(default_factory=dict)

    def values(self, segments: list[str]) -> dict[str, str] | None:
        """The names in *segments*, if they match."""
        if len(segments) != len(self.segments):
            return None
        values = []
        for ours, theirs in zip(self.segments, segments, strict=True):
            if ours is None and theirs:
                values.append(theirs)
            elif ours != theirs:
                return None
        return dict(zip(self.names, values, strict=True))


class Routes:
    """The paths of *operations*."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        routes: dict[str, _Route] = {}
        for operation in operations:
            route = routes.setdefault(operation.path, _route(operation.path))
            route.by_method[operation.method] = operation
            if operation.method == "GET" and not operation.acts:
                route.by_method["HEAD"] = operation
        self._plain = {path: route for path, route in routes.items() if not route.names}
        self._named = [route for route in routes.values() if route.names]

    def find(self, method: str, raw_path: str) -> tuple[Operation, dict[str, str]]:
        """The operation, and what stands in the path by name, decoded.

        Raises `Refused` for what is not there, `MethodNotAllowed`.
        """
        route, values = self._look(raw_path)
        operation = route.by_method.get(method)
        if operation is None:
            raise MethodNotAllowed(_methods(route))
        return operation, values

    def methods(self, raw_path: str) -> tuple[str, ...]:
        """The methods of *raw_path*; raises `Refused` if there is nothing."""
        return _methods(self._look(raw_path)[0])

    def _look(self, raw_path: str) -> tuple[_Route, dict[str, str]]:
        route = self._plain.get(raw_path)
        if route is not None:
            return route, {}
        segments = _decoded(raw_path)
        if segments is not None:
            route = self._plain.get("/".join(segments)) if "%2F" not in raw_path.upper() else None
            if route is not None:
                return route, {}
            for named in self._named:
                values = named.values(segments)
                if values is not None:
                    return named, values
        raise refuse("not_found", "There is nothing at this address.")


def _route(path: str) -> _Route:
    segments = path.split("/")
    names = tuple(each[1:-1] for each in segments if each.startswith("{"))
    return _Route(tuple(None if each.startswith("{") else each for each in segments), names)


def _methods(route: _Route) -> tuple[str, ...]:
    return (*sorted(route.by_method), "OPTIONS")


def _decoded(raw_path: str) -> list[str] | None:
    segments = raw_path.split("/", _SEGMENTS_MAX)
    try:
        return [unquote(each, errors="strict") if "%" in each else each for each in segments]
    except UnicodeDecodeError:
        return None
