"""One boundary for every callback: an exception becomes a log message, and the node goes on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode

from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.node.runtime.log import ThrottledLog, one_line


def sentence_of(error: BaseException) -> str:
    """An exception as text: ours are meant for users, others get their type."""
    if isinstance(error, (DepthAnythingError, ParameterException)):
        return one_line(str(error))
    return one_line(f"{type(error).__name__}: {error}")


class GuardedNode(LifecycleNode):
    """A lifecycle node whose callbacks may fail without ending the process.

    Every subscription, timer and service is guarded, including those that rclpy makes for
    parameters and lifecycle transitions. A service that fails answers with `success` false and the
    reason in `message`, where its response has such fields.
    """

    def __init__(self, name: str, **arguments: Any) -> None:
        """Make the node.

        Args:
            name: Its name.
            arguments: Passed on to rclpy's LifecycleNode.
        """
        self._boundary_log: ThrottledLog | None = None
        super().__init__(name, **arguments)
        self._boundary_log = ThrottledLog(self.get_logger())
        for service in self.services:  # those of rclpy itself
            service.callback = self._guarded_service(service.callback, service.srv_name)

    def create_subscription(
        self, msg_type: Any, topic: str, callback: Callable[[Any], Any], *rest: Any, **more: Any
    ) -> Any:
        """Subscribe; what the callback raises is logged, and the message is not used."""
        return super().create_subscription(
            msg_type,
            topic,
            self._guarded(callback, f"a message on {topic} is not used"),
            *rest,
            **more,
        )

    def create_timer(
        self, timer_period_sec: float, callback: Callable[[], Any], *rest: Any, **more: Any
    ) -> Any:
        """Call something periodically; what it raises is logged."""
        name = getattr(callback, "__name__", "timer")
        guarded = self._guarded(callback, f"{name.strip('_')} failed")
        return super().create_timer(timer_period_sec, guarded, *rest, **more)

    def create_service(
        self, srv_type: Any, srv_name: str, callback: Callable[..., Any], *rest: Any, **more: Any
    ) -> Any:
        """Offer a service; what the callback raises becomes its answer."""
        guarded = self._guarded_service(callback, srv_name)
        return super().create_service(srv_type, srv_name, guarded, *rest, **more)

    def destroy_subscription(self, subscription: Any) -> Any:
        """Unsubscribe."""
        self._forget_destroyed()
        return super().destroy_subscription(subscription)

    def destroy_publisher(self, publisher: Any) -> Any:
        """Stop publishing."""
        self._forget_destroyed()
        return super().destroy_publisher(publisher)

    def _forget_destroyed(self) -> None:
        """Drop what was destroyed before: rclpy's groups keep a dead reference to each for ever."""
        entities = self.default_callback_group.entities
        entities.difference_update([each for each in list(entities) if each() is None])

    def report(self, what: str, error: BaseException) -> str:
        """Log what failed, throttled; nothing once the node is stopping.

        Args:
            what: What failed, as the start of a sentence.
            error: Why.

        Returns:
            The reason.
        """
        reason = sentence_of(error)
        if self.context.ok() and self._boundary_log is not None:
            if isinstance(error, DepthAnythingError):
                self._boundary_log.warn(f"{what}: {reason}")
            else:
                self._boundary_log.error(f"{what}: {reason}")
        return reason

    def _guarded(self, callback: Callable[..., Any], what: str) -> Callable[..., Any]:
        if hasattr(callback, "guarded"):
            return callback

        @functools.wraps(callback)
        def guarded(*arguments: Any) -> Any:
            try:
                return callback(*arguments)
            except Exception as error:
                self.report(what, error)
                return None

        guarded.guarded = True  # type: ignore[attr-defined]
        return guarded

    def _guarded_service(self, callback: Callable[..., Any], name: str) -> Callable[..., Any]:
        if hasattr(callback, "guarded"):
            return callback

        def failed(response: Any, error: Exception) -> Any:
            reason = self.report(f"{name} failed", error)
            fields = response.get_fields_and_field_types()
            if "success" in fields:
                response.success = False
            if "message" in fields:
                response.message = reason
            return response

        @functools.wraps(callback)
        def guarded(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except Exception as error:
                return failed(response, error)

        @functools.wraps(callback)
        async def guarded_async(request: Any, response: Any) -> Any:
            try:
                return await callback(request, response)
            except Exception as error:
                return failed(response, error)

        chosen: Any = guarded_async if inspect.iscoroutinefunction(callback) else guarded
        chosen.guarded = True
        return chosen
