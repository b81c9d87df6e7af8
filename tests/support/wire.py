"""Asks the served store over gRPC, as any client does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from pageroles.v1 import pages_pb2, pages_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Asked:
    """A stub with a key."""

    def __init__(self, target: str, key: str | None, domain: str | None = None) -> None:
        self._channel = grpc.insecure_channel(target)
        self._stub = pages_pb2_grpc.PageRolesServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self.metadata = [("authentication", key)] if key is not None else []
        self.metadata += [("domain", domain)] if domain is not None else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def pages(
        self, request: pages_pb2.PagesRequest | None = None, timeout: float = 30, **fields: Any
    ) -> pages_pb2.PagesResponse:
        request = request or pages_pb2.PagesRequest(**fields)
        return cast("pages_pb2.PagesResponse", self._stub.Pages(request, metadata=self.metadata, timeout=timeout))

    def stream(
        self, request: pages_pb2.PagesRequest | None = None, timeout: float = 30, **fields: Any
    ) -> Iterator[pages_pb2.PagesResponse]:
        request = request or pages_pb2.PagesRequest(**fields)
        yield from self._stub.StreamPages(request, metadata=self.metadata, timeout=timeout)

    def stream_call(self, timeout: float = 30, **fields: Any) -> Any:
        return self._stub.StreamPages(pages_pb2.PagesRequest(**fields), metadata=self.metadata, timeout=timeout)

    def future(self, timeout: float = 30, **fields: Any) -> Any:
        return self._stub.Pages.future(pages_pb2.PagesRequest(**fields), metadata=self.metadata, timeout=timeout)


def message(asked: Mapping[str, str]) -> pages_pb2.PagesRequest:
    fields: dict[str, Any] = {name: value for name, value in asked.items() if name != "touch_scope"}
    scope = asked.get("touch_scope", "unspecified")
    return pages_pb2.PagesRequest(**fields, touch_scope=f"TOUCH_SCOPE_{scope.upper()}")


def error_info(error: grpc.RpcError) -> Any:
    """Return the detail that has the code of a refusal, which is the last one."""
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(cast("Any", error))
    assert status
    assert status.details[-1].Unpack(info)
    return info


def details(error: grpc.RpcError) -> list[Any]:
    """Return the rich details of a refusal but for its code."""
    status = rpc_status.from_call(cast("Any", error))
    kinds = (error_details_pb2.BadRequest, error_details_pb2.QuotaFailure, error_details_pb2.RetryInfo)
    found = []
    for packed in status.details if status else []:
        for kind in kinds:
            if packed.Is(kind.DESCRIPTOR):
                detail = kind()
                packed.Unpack(detail)
                found.append(detail)
    return found
