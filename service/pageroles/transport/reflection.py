"""Server reflection, under its name and under the one that older clients ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.descriptor_pool import DescriptorPool

V1ALPHA = reflection.SERVICE_NAME
V1 = "grpc.reflection.v1.ServerReflection"


def enable(services: Iterable[str], server: grpc.Server) -> None:
    """Serve what a server offers, over both versions of reflection.

    Args:
        services: Full names of the services to list beside reflection itself.
        server: A server that was not started yet.
    """
    _describe_v1(descriptor_pool.Default())
    servicer = reflection.ReflectionServicer((*services, V1, V1ALPHA))
    # grpcio-reflection knows v1alpha alone. The messages of v1 are the same bytes, so one servicer reads both.
    handlers = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    for name in (V1, V1ALPHA):
        server.add_registered_method_handlers(name, handlers)


def _describe_v1(pool: DescriptorPool) -> None:
    """Make v1 known, so that reflection can describe itself: it is v1alpha but for the name."""
    try:
        pool.FindServiceByName(V1)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        text = text_format.MessageToString(file).replace("grpc.reflection.v1alpha", "grpc.reflection.v1")
        described = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
        described.name = "grpc/reflection/v1/reflection.proto"
        pool.Add(described)
