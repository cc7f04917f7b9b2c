"""Web page on which a person settles disputed pairs by keys, mouse or fingers."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Any

import cv2
import numpy as np
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from depth_anything_ros.errors import InputError
from depth_anything_ros.evaluation.vote import ANSWERS, Ballot
from depth_anything_ros.formats.media import encoded, read_image
from depth_anything_ros.web.bodies import TooLargeError, read_json
from depth_anything_ros.web.serving import LOOPBACK, PageServer
from depth_anything_ros.web.static_files import STATIC

_LARGEST_BODY = 1000
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]


class SettlePage:
    """Serves the disputed pairs of a ballot; each answer is saved before the next is shown.

    The page does not show the experts' votes, so as not to bias the person.

    Args:
        ballot: The ballot; changed and saved with every answer.
        port: Port; 0 takes a free one.
        host: Address to listen on, as `PageServer` takes it.
        token: What browsers must show, as `PageServer` takes it.

    Attributes:
        url: Where a browser finds it.

    Raises:
        SettingError: The address cannot be had, or needs a token.
    """

    def __init__(
        self, ballot: Ballot, port: int = 0, host: str = LOOPBACK, token: str | None = None
    ) -> None:
        self._ballot = ballot
        self._disputed = [each for each in ballot.questions() if each[1].verdict is None]
        self._lock = threading.Lock()
        self._server = PageServer(self._app(), host, port, token)
        self.url = self._server.url

    def serve(self) -> None:
        """Answer the browser until a person finishes; then the port is free again."""
        self._server.serve()

    def finish(self) -> None:
        """Make `serve` return."""
        self._server.finish()

    def state(self) -> dict[str, Any]:
        """The first pair without an answer, and how many there are."""
        with self._lock:
            open_ = [i for i, (_, question) in enumerate(self._disputed) if not question.verdict]
            state: dict[str, Any] = {"total": len(self._disputed), "open": len(open_)}
            if open_:
                image, question = self._disputed[open_[0]]
                state |= {
                    "id": open_[0],
                    "image": image,
                    "point1": question.point1,
                    "point2": question.point2,
                }
            return state

    def answer(self, number: int, verdict: str | None) -> None:
        """Settle a pair, or with None open it again; saved when this returns.

        Args:
            number: Its id.
            verdict: One of `ANSWERS`, or None.

        Raises:
            LookupError: There is no such pair or answer.
            OSError: It could not be saved; the pair stays as it was.
        """
        if not 0 <= number < len(self._disputed) or verdict not in (*ANSWERS, None):
            raise LookupError(number, verdict)
        with self._lock:
            question = self._disputed[number][1]
            before, question.verdict = question.verdict, verdict
            try:
                self._ballot.save()
            except OSError:
                question.verdict = before
                raise

    def picture(self, number: int) -> bytes:
        """The image of a pair as JPEG, upright and at its own size, whatever its format is.

        Args:
            number: The pair's id.

        Raises:
            IndexError: There is no such pair.
            InputError: The image cannot be read.
        """
        rgb = read_image(self._ballot.root / self._disputed[number][0])
        return encoded(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)), ".jpg", _JPEG)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._get_page),
                Route("/state", self._get_state),
                Route("/image/{number:int}", self._get_picture),
                Route("/answer", self._post_answer, methods=["POST"]),
                Route("/finish", self._post_finish, methods=["POST"]),
                Mount("/static", StaticFiles(directory=STATIC)),
            ]
        )

    async def _get_page(self, request: Request) -> Response:
        return FileResponse(STATIC / "settle.html")

    async def _get_state(self, request: Request) -> Response:
        return JSONResponse(self.state())

    async def _get_picture(self, request: Request) -> Response:
        try:
            picture = await run_in_threadpool(self.picture, request.path_params["number"])
        except (IndexError, InputError):
            return Response(status_code=HTTPStatus.NOT_FOUND)
        return Response(picture, media_type="image/jpeg")

    async def _post_answer(self, request: Request) -> Response:
        if "content-length" not in request.headers:
            return Response(status_code=HTTPStatus.LENGTH_REQUIRED)
        try:
            body: Any = await read_json(request, _LARGEST_BODY)
            number, verdict = int(body["id"]), body["verdict"]
            await run_in_threadpool(self.answer, number, verdict)
        except TooLargeError as error:
            return PlainTextResponse(str(error), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except (InputError, ValueError, TypeError, LookupError, OverflowError):
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except OSError as error:
            return PlainTextResponse(str(error.strerror), HTTPStatus.INTERNAL_SERVER_ERROR)
        return JSONResponse(self.state())

    async def _post_finish(self, request: Request) -> Response:
        return JSONResponse(self.state(), background=BackgroundTask(self.finish))
