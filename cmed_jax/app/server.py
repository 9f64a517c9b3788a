"""The local page as a web application, for this machine alone.

The server accepts requests only under the host names of this machine. Therefore no foreign page can
reach it under a name of its own. It accepts patterns only from its own page, which it recognises by
the `Origin` header. A prediction is found by an id that cannot be guessed, and only the files that
were written for it are served.
"""

from importlib import resources
from string import Template
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmed_jax.app.queue import Busy, PredictionQueue, QueuedPrediction
from cmed_jax.crystal.lattice import PRIMITIVE
from cmed_jax.io.formats.markup import MOST_BYTES
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.prediction.batch import JOB_STEPS
from cmed_jax.prediction.manifest import COLUMNS, SUFFIXES, parse_options

HOSTS = ["127.0.0.1", "localhost"]

STATIC: list[str | tuple[str, str]] = [
    ("cmed_jax.app", "static"),
    ("cmed_jax.report", "templates"),
]
"""The served folders of packages: the app's own, and that of the style that all pages share."""

OWN = (
    "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
REPORT = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
"""The content policies: our own page loads from this server, and reports load nothing at all."""


def application(queue: PredictionQueue) -> Starlette:
    """Return the application.

    Args:
        queue: the queue of predictions.
    """
    routes = [
        Route("/", _front),
        Mount("/static", StaticFiles(packages=STATIC)),
        Route("/predictions", _submit, methods=["POST"]),
        Route("/predictions/{identity}", _state),
        Route("/predictions/{identity}/{name}", _file),
    ]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS), Middleware(Guarded)]
    handlers: Any = {HTTPException: _refuse}
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)
    app.state.queue = queue
    return app


class Guarded:
    """Middleware with response headers that keep browsers from foreign content and from caching."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, and add the headers to its response."""
        policy = REPORT if scope.get("path", "").endswith(".html") else OWN
        guards = {
            b"content-security-policy": policy.encode(),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"no-referrer",
            b"cache-control": b"no-store",
        }

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *guards.items()]
            await send(message)

        await self.app(scope, receive, guarded)


async def _front(request: Request) -> Response:
    page = (resources.files("cmed_jax.app") / "page.html").read_text(encoding="utf-8")
    anodes = [name for name in RADIATIONS if name.endswith("Ka")]
    names = {name: f"{name[:-2]} Kα, {RADIATIONS[name]:.4f} Å" for name in anodes}
    return HTMLResponse(
        Template(page).substitute(
            radiations="".join(
                f'<option value="{x}">{label}</option>' for x, label in names.items()
            ),
            centrings="".join(f"<option>{centring}</option>" for centring in PRIMITIVE),
            suffixes=",".join(sorted(SUFFIXES)),
            megabytes=MOST_BYTES >> 20,
        )
    )


async def _submit(request: Request) -> Response:
    _check_origin(request)
    queue: PredictionQueue = request.app.state.queue
    try:
        written = request.query_params
        columns = {column: written.get(column, "") for column in COLUMNS}
        options = parse_options(columns, queue.common)
        identity = queue.submit(written.get("name", ""), await _body(request), options)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    except Busy as error:
        raise HTTPException(503, str(error)) from None
    return JSONResponse({"id": identity}, 202)


async def _state(request: Request) -> Response:
    identity = request.path_params["identity"]
    task = _task(request)
    known = {"state": task.state, "name": task.job.file.name, "error": task.error}
    stands = {"step": task.step, "done": task.steps_done, "of": len(JOB_STEPS)}
    stands["ahead"] = request.app.state.queue.ahead(identity)
    answer = {name: task.figures.get(name) for name in ("files", "alarms")}
    return JSONResponse(known | stands | answer)


async def _file(request: Request) -> Response:
    task, name = _task(request), request.path_params["name"]
    if name not in task.figures.get("files", ()):
        raise HTTPException(404, "there is no such file")
    shown = "inline" if name.endswith(".html") else "attachment"
    return FileResponse(task.folder / name, filename=name, content_disposition_type=shown)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _check_origin(request: Request) -> None:
    """Refuse requests from other pages.

    Browsers send the origin of the page with every request that changes something.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{request.headers['host']}":
        raise HTTPException(403, "patterns are taken from this page alone")


async def _body(request: Request) -> bytes:
    """Return the uploaded file; refuse one that is empty or too large to be a pattern."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"the file is larger than {MOST_BYTES >> 20} MiB")
    if not data:
        raise HTTPException(422, "the file is empty")
    return bytes(data)


def _task(request: Request) -> QueuedPrediction:
    try:
        return request.app.state.queue.task(request.path_params["identity"])
    except KeyError:
        raise HTTPException(404, "there is no such prediction") from None
