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
    INCLUDE_BALANCE: _ClassVar[Include]
    INCLUDE_LANDING: _ClassVar[Include]

class TouchScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOUCH_SCOPE_UNSPECIFIED: _ClassVar[TouchScope]
    TOUCH_SCOPE_ANY: _ClassVar[TouchScope]
    TOUCH_SCOPE_FIRST: _ClassVar[TouchScope]
    TOUCH_SCOPE_CONVERTING: _ClassVar[TouchScope]
    TOUCH_SCOPE_ASSIST: _ClassVar[TouchScope]
    TOUCH_SCOPE_AFTER: _ClassVar[TouchScope]
INCLUDE_UNSPECIFIED: Include
INCLUDE_BALANCE: Include
INCLUDE_LANDING: Include
TOUCH_SCOPE_UNSPECIFIED: TouchScope
TOUCH_SCOPE_ANY: TouchScope
TOUCH_SCOPE_FIRST: TouchScope
TOUCH_SCOPE_CONVERTING: TouchScope
TOUCH_SCOPE_ASSIST: TouchScope
TOUCH_SCOPE_AFTER: TouchScope

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
    __slots__ = ("time_frame", "summary_totals", "conversion_performance", "drop_off_performance", "message", "balance", "omitted")
    TIME_FRAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_TOTALS_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    DROP_OFF_PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    time_frame: TimeFrame
    summary_totals: SummaryTotals
    conversion_performance: _containers.RepeatedCompositeFieldContainer[ConversionPage]
    drop_off_performance: _containers.RepeatedCompositeFieldContainer[DropOffPage]
    message: str
    balance: Balance
    omitted: OmittedPages
    def __init__(self, time_frame: _Optional[_Union[TimeFrame, _Mapping]] = ..., summary_totals: _Optional[_Union[SummaryTotals, _Mapping]] = ..., conversion_performance: _Optional[_Iterable[_Union[ConversionPage, _Mapping]]] = ..., drop_off_performance: _Optional[_Iterable[_Union[DropOffPage, _Mapping]]] = ..., message: _Optional[str] = ..., balance: _Optional[_Union[Balance, _Mapping]] = ..., omitted: _Optional[_Union[OmittedPages, _Mapping]] = ...) -> None: ...

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
