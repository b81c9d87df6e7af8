"""Ask a pageroles server from Python. It needs grpcio, protobuf and googleapis-common-protos, and nothing of a server.

from pageroles import Client

with Client("127.0.0.1:50051", key) as client:
    report = client.report(start_date="2025-07-01", end_date="2025-07-31", source="google.com")
for page in report.conversion_performance:
    print(page.url, page.conversion.sessions)
"""

from pageroles.client.answers import (
    Balance,
    Conversion,
    ConversionPage,
    DataState,
    Day,
    Days,
    DropOffPage,
    FilterValue,
    Hint,
    Omitted,
    PageRoles,
    Pages,
    Report,
    RoleCount,
    Session,
    SummaryTotals,
    TimeFrame,
    Values,
)
from pageroles.client.asynchronous import AsyncClient, AsyncSessions
from pageroles.client.blocking import Client, Sessions
from pageroles.client.errors import (
    CancelledError,
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RequestError,
    UnauthenticatedError,
    UnavailableError,
)
from pageroles.client.questions import Question

__all__ = [
    "AsyncClient",
    "AsyncSessions",
    "Balance",
    "CancelledError",
    "Client",
    "Conversion",
    "ConversionPage",
    "DataState",
    "Day",
    "Days",
    "DeadlineExceededError",
    "DropOffPage",
    "FilterValue",
    "Hint",
    "InternalError",
    "InvalidArgumentError",
    "Omitted",
    "OverloadedError",
    "PageRoles",
    "Pages",
    "PermissionDeniedError",
    "Question",
    "QuotaExceededError",
    "Report",
    "RequestError",
    "RoleCount",
    "Session",
    "Sessions",
    "SummaryTotals",
    "TimeFrame",
    "UnauthenticatedError",
    "UnavailableError",
    "Values",
]
