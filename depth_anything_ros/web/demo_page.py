"""The demo page: pictures and videos in, depth to look at and to download out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from depth_anything_ros.errors import DepthAnythingError, InputError
from depth_anything_ros.formats.preview import color_table
from depth_anything_ros.settings import ModelSettings
from depth_anything_ros.web.bodies import TooLargeError, read_chunks, read_json
from depth_anything_ros.web.demo_request import offered_scalers, parse_request
from depth_anything_ros.web.estimation import (
    CONFIDENCE,
    DEPTH,
    DOWNLOADS,
    SIGMA,
    VIDEO,
    VIEW_CLOUD,
    VIEW_IMAGE,
    Estimation,
    Limits,
)
from depth_anything_ros.web.examples import EXAMPLES, Example
from depth_anything_ros.web.files import Entry, PrivateFolder
from depth_anything_ros.web.jobs import Job, JobQueue, JobState, QueueFullError
from depth_anything_ros.web.models import ModelShelf
from depth_anything_ros.web.static_files import STATIC

_LARGEST_JSON = 100_000
_MOST_UPLOADS = 4
"""Files that are received at a time: they are not counted in the stored bytes before."""
_VIEW_FILES = {
    VIEW_IMAGE: (VIEW_IMAGE, "image/jpeg"),
    VIEW_CLOUD: (VIEW_CLOUD, "application/octet-stream"),
    **{name: (f"{name}.f32", "application/octet-stream") for name in (DEPTH, CONFIDENCE, SIGMA)},
}

Endpoint = Callable[[Request], Awaitable[Response]]


class DemoPage:
    """The page's requests; `app` is what a server serves.

    Args:
        settings: How networks run, and which is chosen first.
        limits: What one request may cost.

    Attributes:
        app: The ASGI application.
        limits: What one request may cost.
        queue: Its jobs.

    Raises:
        DepthAnythingError: The network is not on this machine.
    """

    def __init__(self, settings: ModelSettings, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._shelf = ModelShelf(settings)
        self._folder = PrivateFolder(self.limits.stored_bytes)
        self._estimation = Estimation(self._shelf, self._folder, self.limits)
        self.queue = JobQueue(self.limits.waiting, self.limits.seconds)
        self._receiving = 0  # uploads on their way; only the server's one thread counts
        self.app = Starlette(routes=self._routes())

    @property
    def folder(self) -> Path:
        """The private folder of uploads and results."""
        return self._folder.root

    def close(self) -> None:
        """Stop the work and remove all files."""
        self.queue.close()
        self._folder.close()

    def _routes(self) -> list[BaseRoute]:
        def route(path: str, endpoint: Endpoint, *methods: str) -> Route:
            return Route(path, _in_words(endpoint), methods=list(methods or ("GET",)))

        return [
            route("/", self._page),
            route("/api/about", self._about),
            route("/api/files", self._upload, "POST"),
            route("/api/files/{file}", self._forget_file, "DELETE"),
            route("/api/jobs", self._submit, "POST"),
            route("/api/jobs/{job}", self._job),
            route("/api/jobs/{job}", self._cancel, "DELETE"),
            route("/api/results/{result}", self._forget_file_of_result, "DELETE"),
            route("/api/results/{result}/video.mp4", self._video),
            route("/api/results/{result}/{picture:int}/{name}", self._result_file),
            route("/api/examples/{name}.jpg", self._example_picture),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    async def _page(self, request: Request) -> Response:
        return FileResponse(STATIC / "demo.html")

    async def _about(self, request: Request) -> Response:
        """What the page offers."""
        return JSONResponse(
            {
                "models": self._shelf.describe(),
                "first_model": self._shelf.first,
                "scalers": offered_scalers(),
                "examples": [example.describe() for example in EXAMPLES.values()],
                "colors": color_table().ravel().tolist(),
                "upload_bytes": self.limits.upload_bytes,
            }
        )

    async def _upload(self, request: Request) -> Response:
        """Store the body; its name stands in the address."""
        entry = self._folder.new_file(request.query_params.get("name", ""))
        try:
            await self._receive(request, entry.path)
        except BaseException:
            entry.path.unlink(missing_ok=True)
            raise
        await run_in_threadpool(self._folder.add, entry)
        return JSONResponse({"id": entry.id, "name": entry.name}, HTTPStatus.CREATED)

    async def _receive(self, request: Request, path: Path) -> None:
        if self._receiving >= _MOST_UPLOADS:
            raise QueueFullError(f"{self._receiving} files are being sent; try again in a minute")
        self._receiving += 1
        try:
            with path.open("wb") as file:
                async for chunk in read_chunks(request, self.limits.upload_bytes):
                    file.write(chunk)
        finally:
            self._receiving -= 1
        if not path.stat().st_size:
            raise InputError("the file is empty")

    async def _submit(self, request: Request) -> Response:
        wanted = parse_request(await read_json(request, _LARGEST_JSON))
        example = EXAMPLES.get(wanted.file)
        source = self._entry(wanted.file) if example is None else _entry_of(example)
        points = None
        measured = EXAMPLES.get(wanted.points_file or "")
        if measured is not None and measured.points is not None:
            points = Entry(measured.points, measured.name)
        elif wanted.points_file is not None:
            points = self._entry(wanted.points_file)

        def work(job: Job) -> Any:
            return self._estimation.run(wanted, source, points, job)

        return JSONResponse(self._describe(self.queue.submit(work)), HTTPStatus.ACCEPTED)

    async def _job(self, request: Request) -> Response:
        return JSONResponse(self._describe(self._job_of(request)))

    async def _cancel(self, request: Request) -> Response:
        self.queue.cancel(self._job_of(request))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _forget_file(self, request: Request) -> Response:
        self._folder.remove(request.path_params["file"])
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _forget_file_of_result(self, request: Request) -> Response:
        self._folder.remove(request.path_params["result"])
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _video(self, request: Request) -> Response:
        entry = self._entry(request.path_params["result"])
        return _file(entry.path / VIDEO, "video/mp4", f"{entry.name}_depth.mp4")

    async def _result_file(self, request: Request) -> Response:
        entry = self._entry(request.path_params["result"])
        folder = entry.path / str(request.path_params["picture"])
        name = request.path_params["name"]
        if name in _VIEW_FILES:
            file, kind = _VIEW_FILES[name]
            return _file(folder / file, kind)
        if name in DOWNLOADS:
            file, kind = DOWNLOADS[name]
            return _file(folder / file, kind, f"{entry.name}_{name}")
        raise _NotFoundError(f"a result has no file '{name}'")

    async def _example_picture(self, request: Request) -> Response:
        example = EXAMPLES.get(request.path_params["name"])
        if example is None:
            raise _NotFoundError("there is no such example")
        return _file(example.picture, "image/jpeg")

    def _entry(self, entry_id: str) -> Entry:
        entry = self._folder.get(entry_id)
        if entry is None or not entry.path.exists():
            raise _NotFoundError("this file is no longer on the server; give it again")
        return entry

    def _job_of(self, request: Request) -> Job:
        job = self.queue.get(request.path_params["job"])
        if job is None:
            raise _NotFoundError("there is no such job; it may have been cancelled")
        return job

    def _describe(self, job: Job) -> dict[str, Any]:
        return {
            "id": job.id,
            "state": job.state.value,
            "ahead": self.queue.ahead_of(job),
            "stage": job.stage,
            "done": job.done,
            "total": job.total,
            "error": job.error,
            "result": job.result if job.state is JobState.DONE else None,
        }


class _NotFoundError(DepthAnythingError):
    """What was asked for is not there."""


_STATUS = {
    _NotFoundError: HTTPStatus.NOT_FOUND,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    QueueFullError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def _in_words(endpoint: Endpoint) -> Endpoint:
    """An endpoint whose errors are answered as a sentence."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except DepthAnythingError as error:
            status = _STATUS.get(type(error), HTTPStatus.BAD_REQUEST)
            return PlainTextResponse(str(error), status)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except OSError as error:
            return PlainTextResponse(
                f"the server cannot store it: {error.strerror}", HTTPStatus.INSUFFICIENT_STORAGE
            )

    return answer


def _entry_of(example: Example) -> Entry:
    return Entry(example.picture, example.name)


def _file(path: Path, kind: str, download: str | None = None) -> Response:
    if not path.is_file():
        raise _NotFoundError("this result has no such file")
    return FileResponse(path, media_type=kind, filename=download)
