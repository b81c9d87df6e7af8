import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Include(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INCLUDE_UNSPECIFIED: _ClassVar[Include]
    INCLUDE_DATA: _ClassVar[Include]
    INCLUDE_BALANCE: _ClassVar[Include]
    INCLUDE_LANDING: _ClassVar[Include]
    INCLUDE_HINTS: _ClassVar[Include]

class TouchScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOUCH_SCOPE_UNSPECIFIED: _ClassVar[TouchScope]
    TOUCH_SCOPE_ANY: _ClassVar[TouchScope]
    TOUCH_SCOPE_FIRST: _ClassVar[TouchScope]
    TOUCH_SCOPE_CONVERTING: _ClassVar[TouchScope]
    TOUCH_SCOPE_ASSIST: _ClassVar[TouchScope]
    TOUCH_SCOPE_AFTER: _ClassVar[TouchScope]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_CONVERSION: _ClassVar[Role]
    ROLE_CONVERSION_ASSIST: _ClassVar[Role]
    ROLE_LANDING_ASSISTED_CONVERSION: _ClassVar[Role]
    ROLE_DROP_OFF: _ClassVar[Role]
    ROLE_DROP_OFF_ASSIST: _ClassVar[Role]
    ROLE_LANDING_ASSISTED_DROP_OFF: _ClassVar[Role]
    ROLE_LANDING: _ClassVar[Role]
INCLUDE_UNSPECIFIED: Include
INCLUDE_DATA: Include
INCLUDE_BALANCE: Include
INCLUDE_LANDING: Include
INCLUDE_HINTS: Include
TOUCH_SCOPE_UNSPECIFIED: TouchScope
TOUCH_SCOPE_ANY: TouchScope
TOUCH_SCOPE_FIRST: TouchScope
TOUCH_SCOPE_CONVERTING: TouchScope
TOUCH_SCOPE_ASSIST: TouchScope
TOUCH_SCOPE_AFTER: TouchScope
ROLE_UNSPECIFIED: Role
ROLE_CONVERSION: Role
ROLE_CONVERSION_ASSIST: Role
ROLE_LANDING_ASSISTED_CONVERSION: Role
ROLE_DROP_OFF: Role
ROLE_DROP_OFF_ASSIST: Role
ROLE_LANDING_ASSISTED_DROP_OFF: Role
ROLE_LANDING: Role

class PagesRequest(_message.Message):
    __slots__ = ("start_date", "end_date", "conversion_page", "meta_type", "meta_id", "source", "medium", "campaign", "content", "term", "landing_page", "touch_scope", "limit", "include")
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_PAGE_FIELD_NUMBER: _ClassVar[int]
    META_TYPE_FIELD_NUMBER: _ClassVar[int]
    META_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MEDIUM_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LANDING_PAGE_FIELD_NUMBER: _ClassVar[int]
    TOUCH_SCOPE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    start_date: str
    end_date: str
    conversion_page: str
    meta_type: str
    meta_id: str
    source: str
    medium: str
    campaign: str
    content: str
    term: str
    landing_page: str
    touch_scope: TouchScope
    limit: int
    include: _containers.RepeatedScalarFieldContainer[Include]
    def __init__(self, start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., conversion_page: _Optional[str] = ..., meta_type: _Optional[str] = ..., meta_id: _Optional[str] = ..., source: _Optional[str] = ..., medium: _Optional[str] = ..., campaign: _Optional[str] = ..., content: _Optional[str] = ..., term: _Optional[str] = ..., landing_page: _Optional[str] = ..., touch_scope: _Optional[_Union[TouchScope, str]] = ..., limit: _Optional[int] = ..., include: _Optional[_Iterable[_Union[Include, str]]] = ...) -> None: ...

class PagesResponse(_message.Message):
    __slots__ = ("time_frame", "summary_totals", "conversion_performance", "drop_off_performance", "message", "data", "balance", "omitted", "hints")
    TIME_FRAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_TOTALS_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    DROP_OFF_PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    HINTS_FIELD_NUMBER: _ClassVar[int]
    time_frame: TimeFrame
    summary_totals: SummaryTotals
    conversion_performance: _containers.RepeatedCompositeFieldContainer[ConversionPage]
    drop_off_performance: _containers.RepeatedCompositeFieldContainer[DropOffPage]
    message: str
    data: DataState
    balance: Balance
    omitted: OmittedPages
    hints: _containers.RepeatedCompositeFieldContainer[Hint]
    def __init__(self, time_frame: _Optional[_Union[TimeFrame, _Mapping]] = ..., summary_totals: _Optional[_Union[SummaryTotals, _Mapping]] = ..., conversion_performance: _Optional[_Iterable[_Union[ConversionPage, _Mapping]]] = ..., drop_off_performance: _Optional[_Iterable[_Union[DropOffPage, _Mapping]]] = ..., message: _Optional[str] = ..., data: _Optional[_Union[DataState, _Mapping]] = ..., balance: _Optional[_Union[Balance, _Mapping]] = ..., omitted: _Optional[_Union[OmittedPages, _Mapping]] = ..., hints: _Optional[_Iterable[_Union[Hint, _Mapping]]] = ...) -> None: ...

class DataState(_message.Message):
    __slots__ = ("version", "complete_through")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_THROUGH_FIELD_NUMBER: _ClassVar[int]
    version: str
    complete_through: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[str] = ..., complete_through: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Hint(_message.Message):
    __slots__ = ("field", "value", "sessions", "sentence")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    field: str
    value: str
    sessions: int
    sentence: str
    def __init__(self, field: _Optional[str] = ..., value: _Optional[str] = ..., sessions: _Optional[int] = ..., sentence: _Optional[str] = ...) -> None: ...

class Balance(_message.Message):
    __slots__ = ("included", "converting", "dropping_off", "both", "converting_without_views", "dropping_off_without_views")
    INCLUDED_FIELD_NUMBER: _ClassVar[int]
    CONVERTING_FIELD_NUMBER: _ClassVar[int]
    DROPPING_OFF_FIELD_NUMBER: _ClassVar[int]
    BOTH_FIELD_NUMBER: _ClassVar[int]
    CONVERTING_WITHOUT_VIEWS_FIELD_NUMBER: _ClassVar[int]
    DROPPING_OFF_WITHOUT_VIEWS_FIELD_NUMBER: _ClassVar[int]
    included: RoleCount
    converting: RoleCount
    dropping_off: RoleCount
    both: RoleCount
    converting_without_views: RoleCount
    dropping_off_without_views: RoleCount
    def __init__(self, included: _Optional[_Union[RoleCount, _Mapping]] = ..., converting: _Optional[_Union[RoleCount, _Mapping]] = ..., dropping_off: _Optional[_Union[RoleCount, _Mapping]] = ..., both: _Optional[_Union[RoleCount, _Mapping]] = ..., converting_without_views: _Optional[_Union[RoleCount, _Mapping]] = ..., dropping_off_without_views: _Optional[_Union[RoleCount, _Mapping]] = ...) -> None: ...

class OmittedPages(_message.Message):
    __slots__ = ("conversion_performance", "drop_off_performance")
    CONVERSION_PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    DROP_OFF_PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    conversion_performance: int
    drop_off_performance: int
    def __init__(self, conversion_performance: _Optional[int] = ..., drop_off_performance: _Optional[int] = ...) -> None: ...

class TimeFrame(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: _timestamp_pb2.Timestamp
    end: _timestamp_pb2.Timestamp
    def __init__(self, start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SummaryTotals(_message.Message):
    __slots__ = ("total_sessions", "total_users", "total_conversion_events", "total_conversion_users")
    TOTAL_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_USERS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CONVERSION_EVENTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CONVERSION_USERS_FIELD_NUMBER: _ClassVar[int]
    total_sessions: int
    total_users: int
    total_conversion_events: int
    total_conversion_users: int
    def __init__(self, total_sessions: _Optional[int] = ..., total_users: _Optional[int] = ..., total_conversion_events: _Optional[int] = ..., total_conversion_users: _Optional[int] = ...) -> None: ...

class ConversionPage(_message.Message):
    __slots__ = ("url", "conversion", "conversion_assist", "landing_assisted_conversion", "landing")
    URL_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_ASSIST_FIELD_NUMBER: _ClassVar[int]
    LANDING_ASSISTED_CONVERSION_FIELD_NUMBER: _ClassVar[int]
    LANDING_FIELD_NUMBER: _ClassVar[int]
    url: str
    conversion: RoleCount
    conversion_assist: RoleCount
    landing_assisted_conversion: RoleCount
    landing: RoleCount
    def __init__(self, url: _Optional[str] = ..., conversion: _Optional[_Union[RoleCount, _Mapping]] = ..., conversion_assist: _Optional[_Union[RoleCount, _Mapping]] = ..., landing_assisted_conversion: _Optional[_Union[RoleCount, _Mapping]] = ..., landing: _Optional[_Union[RoleCount, _Mapping]] = ...) -> None: ...

class DropOffPage(_message.Message):
    __slots__ = ("url", "drop_off", "drop_off_assist", "landing_assisted_drop_off", "landing")
    URL_FIELD_NUMBER: _ClassVar[int]
    DROP_OFF_FIELD_NUMBER: _ClassVar[int]
    DROP_OFF_ASSIST_FIELD_NUMBER: _ClassVar[int]
    LANDING_ASSISTED_DROP_OFF_FIELD_NUMBER: _ClassVar[int]
    LANDING_FIELD_NUMBER: _ClassVar[int]
    url: str
    drop_off: RoleCount
    drop_off_assist: RoleCount
    landing_assisted_drop_off: RoleCount
    landing: RoleCount
    def __init__(self, url: _Optional[str] = ..., drop_off: _Optional[_Union[RoleCount, _Mapping]] = ..., drop_off_assist: _Optional[_Union[RoleCount, _Mapping]] = ..., landing_assisted_drop_off: _Optional[_Union[RoleCount, _Mapping]] = ..., landing: _Optional[_Union[RoleCount, _Mapping]] = ...) -> None: ...

class RoleCount(_message.Message):
    __slots__ = ("sessions", "users")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    sessions: int
    users: int
    def __init__(self, sessions: _Optional[int] = ..., users: _Optional[int] = ...) -> None: ...

class PageSessionsRequest(_message.Message):
    __slots__ = ("question", "url", "role", "limit")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    question: PagesRequest
    url: str
    role: Role
    limit: int
    def __init__(self, question: _Optional[_Union[PagesRequest, _Mapping]] = ..., url: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., limit: _Optional[int] = ...) -> None: ...

class PageSessionsResponse(_message.Message):
    __slots__ = ("total", "sessions", "data")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    total: RoleCount
    sessions: _containers.RepeatedCompositeFieldContainer[PageSession]
    data: DataState
    def __init__(self, total: _Optional[_Union[RoleCount, _Mapping]] = ..., sessions: _Optional[_Iterable[_Union[PageSession, _Mapping]]] = ..., data: _Optional[_Union[DataState, _Mapping]] = ...) -> None: ...

class PageSession(_message.Message):
    __slots__ = ("session_id", "user_id", "started_at", "pages", "conversions")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    CONVERSIONS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    started_at: _timestamp_pb2.Timestamp
    pages: _containers.RepeatedScalarFieldContainer[str]
    conversions: _containers.RepeatedCompositeFieldContainer[SessionConversion]
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pages: _Optional[_Iterable[str]] = ..., conversions: _Optional[_Iterable[_Union[SessionConversion, _Mapping]]] = ...) -> None: ...

class SessionConversion(_message.Message):
    __slots__ = ("url", "type", "id", "occurred_at")
    URL_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    url: str
    type: str
    id: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, url: _Optional[str] = ..., type: _Optional[str] = ..., id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PageDaysRequest(_message.Message):
    __slots__ = ("question", "url")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    question: PagesRequest
    url: str
    def __init__(self, question: _Optional[_Union[PagesRequest, _Mapping]] = ..., url: _Optional[str] = ...) -> None: ...

class PageDaysResponse(_message.Message):
    __slots__ = ("days",)
    DAYS_FIELD_NUMBER: _ClassVar[int]
    days: _containers.RepeatedCompositeFieldContainer[PageDay]
    def __init__(self, days: _Optional[_Iterable[_Union[PageDay, _Mapping]]] = ...) -> None: ...

class PageDay(_message.Message):
    __slots__ = ("date", "summary_totals", "roles", "landing")
    DATE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_TOTALS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    LANDING_FIELD_NUMBER: _ClassVar[int]
    date: str
    summary_totals: SummaryTotals
    roles: PageRoles
    landing: RoleCount
    def __init__(self, date: _Optional[str] = ..., summary_totals: _Optional[_Union[SummaryTotals, _Mapping]] = ..., roles: _Optional[_Union[PageRoles, _Mapping]] = ..., landing: _Optional[_Union[RoleCount, _Mapping]] = ...) -> None: ...

class PageRoles(_message.Message):
    __slots__ = ("conversion", "conversion_assist", "landing_assisted_conversion", "drop_off", "drop_off_assist", "landing_assisted_drop_off")
    CONVERSION_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_ASSIST_FIELD_NUMBER: _ClassVar[int]
    LANDING_ASSISTED_CONVERSION_FIELD_NUMBER: _ClassVar[int]
    DROP_OFF_FIELD_NUMBER: _ClassVar[int]
    DROP_OFF_ASSIST_FIELD_NUMBER: _ClassVar[int]
    LANDING_ASSISTED_DROP_OFF_FIELD_NUMBER: _ClassVar[int]
    conversion: RoleCount
    conversion_assist: RoleCount
    landing_assisted_conversion: RoleCount
    drop_off: RoleCount
    drop_off_assist: RoleCount
    landing_assisted_drop_off: RoleCount
    def __init__(self, conversion: _Optional[_Union[RoleCount, _Mapping]] = ..., conversion_assist: _Optional[_Union[RoleCount, _Mapping]] = ..., landing_assisted_conversion: _Optional[_Union[RoleCount, _Mapping]] = ..., drop_off: _Optional[_Union[RoleCount, _Mapping]] = ..., drop_off_assist: _Optional[_Union[RoleCount, _Mapping]] = ..., landing_assisted_drop_off: _Optional[_Union[RoleCount, _Mapping]] = ...) -> None: ...

class FilterValuesRequest(_message.Message):
    __slots__ = ("question", "field", "contains", "limit")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    CONTAINS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    question: PagesRequest
    field: str
    contains: str
    limit: int
    def __init__(self, question: _Optional[_Union[PagesRequest, _Mapping]] = ..., field: _Optional[str] = ..., contains: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class FilterValuesResponse(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[FilterValue]
    def __init__(self, values: _Optional[_Iterable[_Union[FilterValue, _Mapping]]] = ...) -> None: ...

class FilterValue(_message.Message):
    __slots__ = ("value", "sessions")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    value: str
    sessions: int
    def __init__(self, value: _Optional[str] = ..., sessions: _Optional[int] = ...) -> None: ...
