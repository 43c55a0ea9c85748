"""ASGI middleware that sends tripline one auth event for each request with a credential.

The request path only appends to a bounded queue; a thread sends and retries. See integrations/README.md.
"""
import atexit, http.client, json, logging, os, random, ssl, threading, time, uuid  # noqa: E401
from collections import deque
from datetime import datetime, timezone
from urllib.parse import urlsplit

BATCH_MAX, BATCH_BYTES_MAX, BATCH_WAIT_S = 1_000, 1 << 20, 0.2
WAIT_MAX_S, TIMEOUT_S, TEXT_MAX, EVENT_BYTES_MAX = 30.0, 10.0, 1_024, 32_768
SECRETS = ("secret", "api_key")
FIELDS = SECRETS + ("credential", "kind", "tenant", "subject", "family", "outcome", "verified", "reason",
                    "model", "tokens", "spend", "expires", "issued", "id", "asn", "country")


class Tripline:
    """Wraps an ASGI application. Counters: `sent`, `refused`, `dropped`, `retries`."""

    def __init__(self, app, url="http://127.0.0.1:7878", source=None, *, token=None, ca_file=None,
                 identify=None, header=None, verified=None, proxies=0, queue_max=10_000, close_timeout=5.0):
        to, kind, extra = urlsplit(url), http.client.HTTPConnection, {}
        if to.scheme == "https":
            kind, extra = http.client.HTTPSConnection, {"context": ssl.create_default_context(cafile=ca_file)}
        self._secrets = bool(source) and (bool(extra) or to.hostname in ("localhost", "127.0.0.1", "::1"))
        if not self._secrets and identify is None:
            raise ValueError("without identify tripline gets the secret: name a source, and use https or loopback")
        self._connection = kind(to.hostname, to.port, timeout=TIMEOUT_S, **extra)
        self._path = to.path.rstrip("/") + (f"/v1/sources/{source}/events" if source else "/v1/events")
        token = token or os.environ.get("TRIPLINE_TOKEN")
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}
        self.app, self.identify, self.verified = app, identify or (lambda it: _secret(it, header)), verified
        self.proxies, self.queue_max, self.close_timeout = proxies, queue_max, close_timeout
        self._reset()
        getattr(os, "register_at_fork", lambda **_: None)(after_in_child=self._reset)
        atexit.register(self.close)  # For servers without lifespan.

    def _reset(self):  # A forked worker inherits no thread, and must not send its parent's events.
        self.sent = self.refused = self.dropped = self.retries = 0
        self._queue, self._lock, self._warned, self._thread = deque(), threading.Lock(), {}, None
        self._some, self._closing, self._deadline = threading.Event(), threading.Event(), float("inf")
        self._connection.sock = None

    async def __call__(self, scope, receive, send):
        began, path, root, status = time.time(), scope.get("path"), scope.get("root_path") or "", None

        async def watch(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"].startswith("lifespan.shutdown."):
                self.close()  # May block: no requests are left.
            await send(message)
        try:
            await self.app(scope, receive, watch)
        except Exception:
            status = status or 500  # So does the server answer.
            raise
        finally:
            try:
                if scope["type"] == "http":
                    self._record(scope, began, path, root, status)
            except Exception as error:  # An event that can't be made must not fail the request.
                self._count("dropped", 1, type(error).__name__)

    def _record(self, scope, began, path, root, status):
        given = {**(self.identify(scope) or {}), **((scope.get("state") or {}).get("tripline") or {})}
        event = {key: given[key] for key in FIELDS if given.get(key) not in (None, "")}
        secrets = {key: event.pop(key) for key in SECRETS if key in event}
        if "credential" not in event:
            if not secrets:
                return
            if not self._secrets:
                return self._count("dropped", 1, "this url or source is not for secrets")
            event.update(secrets)
        method, route = scope["method"], getattr(scope.get("route"), "path", None)
        mounted = (scope.get("root_path") or "")[len(root):]
        endpoint = mounted + route if isinstance(route, str) else scope.get("path_template") or path
        stated = event.get("verified", self.verified(scope, status) if self.verified else None)
        if stated is None:  # The rule of tripline's native format.
            stated = status is not None and 200 <= status < 300 and method != "OPTIONS"
        hops = [*filter(None, map(str.strip, ",".join(_header(scope, b"x-forwarded-for")).split(","))),
                (scope.get("client") or [""])[0]]
        event.update(time=datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="milliseconds"),
                     status=status, verified=bool(stated), method=method[:32], endpoint=endpoint[:TEXT_MAX],
                     user_agent=" ".join(_header(scope, b"user-agent"))[:TEXT_MAX],
                     # With fewer hops than proxies, all but the peer may be the client's invention.
                     ip=(hops[-1 - self.proxies] if len(hops) > self.proxies else hops[-1])[:TEXT_MAX])
        line = json.dumps(event, ensure_ascii=False).encode(errors="replace")
        if len(self._queue) >= self.queue_max or len(line) > EVENT_BYTES_MAX or self._closing.is_set():
            return self._count("dropped", 1, "the queue is full or closed, or an event too large")
        self._queue.append(line)
        self._some.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tripline", daemon=True)
            self._thread.start()

    def _count(self, name, count, why):
        with self._lock:
            setattr(self, name, getattr(self, name) + count)
        if time.monotonic() - self._warned.get(name, float("-inf")) >= 60:
            self._warned[name] = time.monotonic()
            logging.getLogger("tripline").warning("%s: %s so far, now %s", name, getattr(self, name), why)

    def close(self):
        """Sends the rest of the queue, for `close_timeout` seconds at most. Blocks."""
        if self._closing.is_set() or self._thread is None:
            return
        self._deadline = time.monotonic() + self.close_timeout
        self._closing.set()
        self._some.set()
        self._thread.join(self.close_timeout + 0.2)  # So that it can count what is left.
        if self._queue:
            self._count("dropped", len(self._queue), "tripline took no more before the end")

    def _run(self):
        while not self._closing.is_set():
            self._some.wait()
            self._closing.wait(BATCH_WAIT_S)
            self._some.clear()
            while self._queue and time.monotonic() < self._deadline:
                lines, size = [], 0
                while self._queue and len(lines) < BATCH_MAX and size < BATCH_BYTES_MAX:
                    lines.append(self._queue.popleft())
                    size += len(lines[-1])
                try:
                    self._deliver(b"\n".join(lines), len(lines))
                except Exception as error:  # The thread must outlive an answer that makes no sense.
                    self._count("dropped", len(lines), type(error).__name__)

    def _deliver(self, body, count):
        # The same key with each retry, so that events whose answer was lost count once.
        headers, backoff = {**self._authorization, "Idempotency-Key": str(uuid.uuid4())}, 0.25
        while time.monotonic() < self._deadline:
            status, after, answer = self._post(body, {**headers, "Content-Type": "application/x-ndjson"})
            if 200 <= status < 300:
                refused = answer.get("refused", 0)
                self.sent += count - refused
                reasons = {line["reason"] for line in answer.get("lines", ())}
                return refused and self._count("refused", refused, ", ".join(sorted(reasons)))
            if status not in (0, 429) and status < 500:
                return self._count("refused", count, f"{status} {answer.get('title', '')}"[:200])
            self._count("retries", 1, str(status or after))
            wait = float(after) if status == 429 and after.isdigit() else backoff * random.uniform(0.5, 1)
            backoff = min(backoff * 2, WAIT_MAX_S)
            if self._closing.wait(min(wait, WAIT_MAX_S)):
                time.sleep(0.1)  # Little time is left, so waits are short.
        self._count("dropped", count, "tripline took no more before the end")

    def _post(self, body, headers):
        try:
            self._connection.request("POST", self._path, body, headers)
            got = self._connection.getresponse()
            text, is_json = got.read(), "json" in got.getheader("Content-Type", "")
            return got.status, got.getheader("Retry-After", ""), json.loads(text) if is_json else {}
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._connection.close()
            return 0, type(error).__name__, {}


def _header(scope, name):
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _secret(scope, header):
    scheme, _, token = "".join(_header(scope, b"authorization")[:1]).partition(" ")
    return {"secret": token.strip() if scheme.lower() == "bearer" and header != "x-api-key" else "",
            "api_key": "".join(_header(scope, b"x-api-key")[:1]).strip() if header != "authorization" else ""}
