"""Services that freeze, reset, save and load a scale."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from depth_anything_ros.errors import DepthAnythingError, InputError
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.node.runtime.file_thread import FileThread


class ScaleServices:
    """`~/scale/freeze` (SetBool), `~/scale/reset`, `~/scale/save`, `~/scale/load` (Trigger).

    With several cameras they are below the camera's name: `~/front/scale/freeze`. None of them
    waits for the network: the scaler is safe to be operated while a frame is on its way. What is
    saved or loaded is answered once the disk has it, and nothing else waits for that.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        scaler: Callable[[], MetricScaler | None],
        path: Callable[[], Path | None],
        files: FileThread,
    ) -> None:
        """Offer the services.

        Args:
            node: The node to offer them with.
            camera: Name of the camera, empty for the only one.
            scaler: Gives the scaler in use, or None before the node is configured.
            path: Gives the file to save to and load from, or None.
            files: Writes and reads the file.
        """
        self._node = node
        self._files = files
        self._scaler = scaler
        self._path = path
        below = f"~/{camera}/scale" if camera else "~/scale"
        node.create_service(SetBool, f"{below}/freeze", self._freeze)
        node.create_service(Trigger, f"{below}/reset", self._reset)
        patient = ReentrantCallbackGroup()
        node.create_service(Trigger, f"{below}/save", self._save, callback_group=patient)
        node.create_service(Trigger, f"{below}/load", self._load, callback_group=patient)

    def _freeze(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        return self._answer(
            response,
            lambda: self._live().freeze(request.data),
            "frozen" if request.data else "follows measurements",
        )

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, lambda: self._live().reset(), "forgotten; measuring anew")

    async def _save(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return await self._answer_later(response, LiveScaler.save, "saved")

    async def _load(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return await self._answer_later(response, LiveScaler.load, "loaded and frozen")

    def _live(self) -> LiveScaler:
        scaler = self._scaler()
        if scaler is None:
            raise InputError("no scaler yet: the node is not configured")
        if not isinstance(scaler, LiveScaler):
            raise InputError(f"scaler {scaler.name} measures nothing; set parameter scaler")
        return scaler

    def _file(self) -> Path:
        path = self._path()
        if path is None:
            raise InputError("parameter scale_file is empty; set it to the file to use")
        return path

    async def _answer_later(
        self, response: Any, action: Callable[[LiveScaler, Path], None], done: str
    ) -> Any:
        """Fill a response once the disk has done its part."""
        ended = Future(executor=self._node.executor)

        def start() -> None:
            self._files.run(partial(action, self._live(), self._file()), ended.set_result)

        def outcome() -> None:
            if error is not None:
                raise error

        if not self._answer(response, start, done).success:
            return response
        error = await ended
        return self._answer(response, outcome, done)

    def _answer(self, response: Any, action: Callable[[], None], done: str) -> Any:
        """Fill a response of either service type."""
        try:
            action()
        except DepthAnythingError as error:
            response.success, response.message = False, str(error)
        else:
            response.success, response.message = True, done
        return response
