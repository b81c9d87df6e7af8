"""Server reflection, in version v1 and in v1alpha, which older clients ask for."""

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
    """Add both versions of reflection to a server.

    Args:
        services: Full names of the services to list beside reflection itself.
        server: A server that has not been started.
    """
    _describe_v1(descriptor_pool.Default())
    servicer = reflection.ReflectionServicer((*services, V1, V1ALPHA))
    # grpcio-reflection has v1alpha only. The messages of v1 are the same bytes, so one servicer serves both.
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
    """Add v1 to the pool, so that reflection can describe itself: a copy of v1alpha under the other name."""
    try:
        pool.FindServiceByName(V1)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        text = text_format.MessageToString(file).replace("grpc.reflection.v1alpha", "grpc.reflection.v1")
        renamed = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
        renamed.name = "grpc/reflection/v1/reflection.proto"
        pool.Add(renamed)
