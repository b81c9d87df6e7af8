"""What reflection tells, under both of its names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2

if TYPE_CHECKING:
    from support.served import Served

V1, V1ALPHA = "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"
SERVED = [
    "grpc.health.v1.Health", V1, V1ALPHA, "pageroles.v1.PageRolesService", "pageroles.v1.SessionService",
]  # fmt: skip


def asked(served: Served, name: str, *requests: reflection_pb2.ServerReflectionRequest) -> list[Any]:
    """Ask in the messages of v1alpha, which are also those of v1."""
    with grpc.insecure_channel(served.target) as channel:
        method: Any = channel.stream_stream(
            f"/{name}/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        return list(method(iter(requests), timeout=5))


def files(served: Served, name: str, symbol: str) -> list[descriptor_pb2.FileDescriptorProto]:
    """Return the file of a symbol and those that it needs."""
    (answer,) = asked(served, name, reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
    assert not answer.HasField("error_response"), answer
    return [
        descriptor_pb2.FileDescriptorProto.FromString(file)
        for file in answer.file_descriptor_response.file_descriptor_proto
    ]


def described(served: Served, name: str, symbol: str) -> descriptor_pool.DescriptorPool:
    """Build what a client learns about a symbol, from nothing but the answer."""
    waiting = files(served, name, symbol)
    pool = descriptor_pool.DescriptorPool()
    while waiting:
        file = next(file for file in waiting if not {other.name for other in waiting} & set(file.dependency))
        pool.Add(file)
        waiting.remove(file)
    return pool


@pytest.mark.parametrize("name", [V1, V1ALPHA])
def test_reflection_lists_what_is_served_and_nothing_else(served: Served, name: str) -> None:
    (answer,) = asked(served, name, reflection_pb2.ServerReflectionRequest(list_services="*"))
    listed = [service.name for service in answer.list_services_response.service]
    assert listed == SERVED


@pytest.mark.parametrize("name", [V1, V1ALPHA])
@pytest.mark.parametrize("service", SERVED)
def test_reflection_describes_every_service_that_it_lists(served: Served, name: str, service: str) -> None:
    assert described(served, name, service).FindServiceByName(service).methods


def test_v1_describes_itself_with_the_messages_that_it_speaks(served: Served) -> None:
    pool = described(served, V1, V1)
    service = pool.FindServiceByName(V1)
    assert service.file.name == "grpc/reflection/v1/reflection.proto"
    (method,) = service.methods
    assert method.input_type.full_name == "grpc.reflection.v1.ServerReflectionRequest"
    assert method.output_type.full_name == "grpc.reflection.v1.ServerReflectionResponse"
    request: Any = GetMessageClass(method.input_type)(file_containing_symbol=V1)
    again = reflection_pb2.ServerReflectionRequest.FromString(request.SerializeToString())
    (answer,) = asked(served, V1, again)
    read: Any = GetMessageClass(method.output_type).FromString(answer.SerializeToString())
    assert read.original_request.file_containing_symbol == V1
    assert service.file.serialized_pb in read.file_descriptor_response.file_descriptor_proto


def test_the_contract_is_described_with_its_rest_path(served: Served) -> None:
    (file,) = [
        file for file in files(served, V1, "pageroles.v1.PageRolesService") if file.name == "pageroles/v1/pages.proto"
    ]
    methods = {method.name: method.options for method in file.service[0].method}
    assert methods["Pages"].Extensions[annotations_pb2.http].post == "/api/v1/pages"


@pytest.mark.parametrize("name", [V1, V1ALPHA])
def test_a_symbol_that_is_not_there_is_told(served: Served, name: str) -> None:
    (answer,) = asked(served, name, reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such"))
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
