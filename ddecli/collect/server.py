"""The server of the page: on this machine alone, at an address with a token that nobody can guess.

What is served is the page, which lies in the package, and the pictures of the pairs that are asked; no name of a file
is ever taken from a request.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import signal
import socket
from functools import cache, partial
from importlib import resources
from types import FrameType
from typing import Any
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ddecli.collect.ballot import Ballot, Gone, checked_name
from ddecli.core.errors import UserError
from ddecli.core.parsing import parse_json
from ddecli.data.votes import LEFT, RIGHT

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""What the page may be called by: a page of somebody else's that leads a name of its own to this machine is refused."""
PAGE = {
    "": ("page.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
}
"""The files of the page: path -> name in the package, and kind."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
WRONG_TOKEN = (
    "This address is not whole: open the one that ddecli collect printed, with all that stands in it."
)
GONE = "The pictures of this pair were removed or changed: it is left out. The terminal says which."
LONGEST_REQUEST = 10_000
"""Bytes of a vote."""


def listen(port: int) -> socket.socket:
    """A socket that this machine alone can reach; port 0 takes a free one.

    Raises:
        UserError: the port is taken, or may not be used.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()
    except OSError as error:
        found.close()
        raise UserError(
            f"Port {port} cannot be used ({error.strerror or error}): choose another --port, or 0 for any that is free."
        ) from error
    return found


def new_token() -> str:
    """128 random bits as text."""
    return secrets.token_urlsafe(16)


def address(listening: socket.socket, token: str) -> str:
    """Where the page is."""
    return f"http://{HOST}:{listening.getsockname()[1]}/{token}/"


def serve(ballot: Ballot, listening: socket.socket, token: str) -> int:
    """Serve the page until a signal ends it.

    Returns:
        The number of the signal.
    """
    server = _Server(
        uvicorn.Config(
            make_app(ballot, token),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn sends the signal again when it is done
        server.run(sockets=[listening])
    return server.ended_by


class _Server(uvicorn.Server):
    """Remembers which signal ended it."""

    ended_by = int(signal.SIGINT)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.ended_by = int(sig)
        super().handle_exit(sig, frame)


def make_app(ballot: Ballot, token: str) -> Starlette:
    """The application; all of it lies below the token."""

    async def state(request: Request) -> Response:
        voter = request.query_params.get("voter", "")
        return await _state(ballot, checked_name(voter) if voter else "")

    async def vote(request: Request) -> Response:
        said = await _said(request)
        voter = checked_name(str(said.get("voter", "")))
        pair, choice = str(said.get("pair", "")), str(said.get("choice", ""))
        await run_in_threadpool(ballot.vote, voter, pair, choice, _seconds(said.get("seconds")))
        return await _state(ballot, voter)

    async def undo(request: Request) -> Response:
        voter = checked_name(str((await _said(request)).get("voter", "")))
        await run_in_threadpool(ballot.undo, voter)
        return await _state(ballot, voter)

    async def picture(request: Request) -> Response:
        voter, pair, side = (request.query_params.get(name, "") for name in ("voter", "pair", "side"))
        if side not in (LEFT, RIGHT):
            raise UserError("A picture stands left or right.")
        content = await run_in_threadpool(ballot.picture, checked_name(voter), pair, side)
        return Response(content, media_type="image/png")

    async def page(name: str, kind: str, request: Request) -> Response:
        return Response(_file(name), media_type=kind)

    async def nothing(request: Request) -> Response:
        return PlainTextResponse("There is no such page.\n", 404)

    async def complain(request: Request, error: Exception) -> Response:
        gone = isinstance(error, Gone)  # which file it is, would say where a picture came from
        return JSONResponse({"error": GONE if gone else str(error), "gone": gone}, 400)

    below = [
        Route("/state", state),
        Route("/vote", vote, methods=["POST"]),
        Route("/undo", undo, methods=["POST"]),
        Route("/picture", picture),
        *(Route(f"/{path}", partial(page, *file)) for path, file in PAGE.items()),
        Route("/{rest:path}", nothing),
    ]
    return Starlette(
        routes=[Mount("/{token}", routes=below)],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(NAMES), www_redirect=False),
            Middleware(_Guard, token=token),
        ],
        exception_handlers={UserError: complain},
    )


class _Guard:
    """Lets requests through that have the token, and tells browsers how little the page may do."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                is_picture = headers.get("content-type") == "image/png"
                headers["Cache-Control"] = "private, max-age=3600" if is_picture else "no-store"
            await send(message)

        given = scope["path"].lstrip("/").partition("/")[0]
        if secrets.compare_digest(given.encode(errors="surrogatepass"), self.token.encode()):
            await self.app(scope, receive, with_headers)
        else:
            await PlainTextResponse(f"{WRONG_TOKEN}\n", 403)(scope, receive, with_headers)


async def _state(ballot: Ballot, voter: str) -> Response:
    return JSONResponse(await run_in_threadpool(_seen, ballot, voter))


def _seen(ballot: Ballot, voter: str) -> dict[str, Any]:
    """What the page shows to a voter; to nobody the names of those who voted."""
    if not voter:
        return {"voters": ballot.voters()}
    shown = ballot.shown(voter)
    progress = ballot.progress(voter)
    following = ballot.following(voter)
    return {
        "voter": voter,
        "done": progress.done,
        "total": progress.total,
        "seconds_left": progress.seconds_left,
        "can_undo": progress.done > 0,
        "left_out": len(ballot.gone),
        "pair": shown
        and {"id": shown.pair.id, "prompt": shown.pair.prompt} | _pictures(voter, shown.pair.id),
        "following": following and _pictures(voter, following.id),
    }


def _pictures(voter: str, pair: str) -> dict[str, str]:
    """Where the page finds the pictures of a pair; nothing in it says where they came from."""
    return {
        side: f"picture?{urlencode({'voter': voter, 'pair': pair, 'side': side})}" for side in (LEFT, RIGHT)
    }


async def _said(request: Request) -> dict[str, Any]:
    """What a request holds.

    Raises:
        UserError: it is no vote.
    """
    content = b""
    async for some in request.stream():
        content += some
        if len(content) > LONGEST_REQUEST:
            raise UserError("This is too long for a vote.")
    try:
        said = parse_json(content)
    except ValueError as error:
        raise UserError(f"This is no vote: {error}.") from error
    if not isinstance(said, dict):
        raise UserError("This is no vote.")
    return said


def _seconds(value: Any) -> float | None:
    """How long a vote took, as the page says."""
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return float(value)
    return None


@cache
def _file(name: str) -> str:
    return resources.files("ddecli.collect").joinpath("page", name).read_text(encoding="utf-8")
