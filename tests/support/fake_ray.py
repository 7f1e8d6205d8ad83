"""Stands in for Ray where the real one can't be made to do what a test wants, such as to lose a result."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any


class RayError(Exception): ...


class RayActorError(RayError): ...


class ObjectLostError(RayError): ...


class GetTimeoutError(RayError): ...


class Call:
    """A reference: what `FakeRay.get` returns or raises; None until the test sets it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.result: Any = None


class FakeRay:
    """As much of the interface as `RayPool` uses; ``calls`` wait until a test sets their results."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayActorError=RayActorError,
        ObjectLostError=ObjectLostError,
        GetTimeoutError=GetTimeoutError,
    )

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.dead: list[int] = []
        self.options: list[dict[str, Any]] = []

    def remote(self, **_: Any) -> Any:
        return lambda _: SimpleNamespace(options=self._options)

    def _options(self, **options: Any) -> Any:
        self.options.append(options)
        return SimpleNamespace(remote=lambda _, number: Handle(self, number))

    def wait(self, calls: list[Call], *, num_returns: int, timeout: float) -> tuple[list[Call], list[Call]]:
        ready = [call for call in calls if call.result is not None][:num_returns]
        return ready, [call for call in calls if call not in ready]

    def get(self, call: Call, timeout: float) -> Any:
        if isinstance(call.result, Exception):
            raise call.result
        return call.result

    def kill(self, handle: Handle, *, no_restart: bool) -> None:
        assert no_restart
        self.dead.append(handle.number)


class Handle:
    """An actor's handle."""

    def __init__(self, ray: FakeRay, number: int) -> None:
        self.ray, self.number = ray, number

    def __getattr__(self, method: str) -> Any:
        remote = SimpleNamespace(remote=lambda *arguments: self._call(method, arguments))
        remote.options = lambda **_: remote
        return remote

    def _call(self, method: str, arguments: tuple[Any, ...]) -> Call:
        index = f" {pickle.loads(arguments[0]).index}" if method == "compute" else ""
        self.ray.calls.append(Call(f"{method}{index} of {self.number}"))
        return self.ray.calls[-1]
