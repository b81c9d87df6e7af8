import os

import grpc

from pageroles.v1 import pages_pb2, pages_pb2_grpc

with grpc.insecure_channel(os.environ["PAGEROLES_TARGET"]) as channel:
    stub = pages_pb2_grpc.PageRolesServiceStub(channel)
    request = pages_pb2.PagesRequest(
        source="google.com",
        touch_scope=pages_pb2.TOUCH_SCOPE_CONVERTING,
    )
    answer = stub.Pages(request, metadata=[("authentication", os.environ["PAGEROLES_KEY"])], timeout=30)

print(answer.message or answer.summary_totals.total_sessions)
for page in answer.conversion_performance:
    print(page.url, page.conversion.sessions)
