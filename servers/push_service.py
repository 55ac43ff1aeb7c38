"""A push service for tests (RFC 8030, the application server's side), and browsers that decrypt.

It checks what a real one checks: TTL, Urgency, Topic, the encoding, 4096 bytes, and VAPID (RFC
8292: audience, end, signature, the key that the browser has subscribed with). Messages are
decrypted by another implementation than ours.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Browser:
    """A browser that has subscribed, perhaps with the key of a server."""

    def __init__(self, port: int, server_key: str | None) -> None:
        self.name = secrets.token_urlsafe(24)
        self.server_key = server_key
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.auth = os.urandom(16)
        self.endpoint = f"http://127.0.0.1:{port}/wp/{self.name}"
        self.is_gone = False
        self.waiting: list[dict[str, Any]] = []

    @property
    def subscription(self) -> dict[str, Any]:
        """What `PushSubscription.toJSON` gives."""
        public = self.private.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )
        keys = {"p256dh": text(public), "auth": text(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the browser is shown, decrypted."""
        return [
            json.loads(
                http_ece.decrypt(
                    each["body"],
                    private_key=self.private,
                    auth_secret=self.auth,
                    version="aes128gcm",
                )
            )
            for each in list(self.waiting)
        ]


class PushService:
    """See the module. *answers* are statuses to give instead of a judgement, by browser."""

    def __init__(self) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, more = service.answer(self.path.rpartition("/")[2], headers, body)
                self.send_response(status)
                for name, value in {"Content-Length": "0", **more}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._browsers: dict[str, Browser] = {}
        self.answers: dict[str, list[int]] = {}
        self.requests: list[tuple[str, int, dict[str, str]]] = []

    def browser(self, server_key: str | None = None) -> Browser:
        """A browser that has subscribed."""
        made = Browser(self.port, server_key)
        self._browsers[made.name] = made
        return made

    def statuses(self, browser: Browser) -> list[int]:
        """How the pushes to *browser* were answered."""
        return [status for name, status, _ in list(self.requests) if name == browser.name]

    def close(self) -> None:
        """End the service."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, name: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        """Judge a push to the browser *name*."""
        scripted = self.answers.get(name, [])
        status = scripted.pop(0) if scripted else self._judge(name, headers, body)
        self.requests.append((name, status, headers))
        return status, {"Retry-After": "1"} if status == 429 else {}

    def _judge(self, name: str, headers: dict[str, str], body: bytes) -> int:
        browser = self._browsers.get(name)
        if browser is None or browser.is_gone:
            return 404 if browser is None else 410
        topic = headers.get("topic", "")
        if (
            not headers.get("ttl", "").isdigit()
            or not re.fullmatch(r"[A-Za-z0-9_-]{0,32}", topic)
            or headers.get("urgency", "normal") not in ("very-low", "low", "normal", "high")
            or headers.get("content-encoding") != "aes128gcm"
        ):
            return 400
        if len(body) > 4096:
            return 413
        if not self._is_signed(headers.get("authorization", ""), browser):
            return 403
        browser.waiting[:] = [each for each in browser.waiting if each["topic"] != topic]
        browser.waiting.append({"topic": topic, "body": body})
        return 201

    def _is_signed(self, authorization: str, browser: Browser) -> bool:
        try:
            parts = authorization.removeprefix("vapid ").split(",")
            fields = dict(part.strip().split("=", 1) for part in parts)
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data(fields["k"]))
            audience = f"http://127.0.0.1:{self.port}"
            claims = jwt.decode(fields["t"], key, algorithms=["ES256"], audience=audience)
        except (ValueError, KeyError, jwt.PyJWTError):
            return False
        is_ours = browser.server_key in (None, fields["k"])
        return bool(is_ours and claims["exp"] <= time.time() + 86400 and claims.get("sub"))


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def data(encoded: str) -> bytes:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
