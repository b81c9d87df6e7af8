"""What all transports share: the time of a request, and a service that can't start."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pageroles.access.quotas import QuotaStore
from pageroles.errors import DeadlineError, StoreUnavailableError
from pageroles.incoming import Incoming, Origin
from pageroles.service import PagesService
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from pageroles.store.store import Store
    from support.served import Served

SECONDS = 0.2


def test_the_time_of_a_request_counts_from_its_arrival(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, a store that was slow to tell of keys left the report all of the time again, and the quota was charged."""
    domain = "slow-keys.example.com"
    key = served.key(domain)
    QuotaStore(served.store).set(domain, 10)
    served.service.reread()
    caller = served.service._keys.caller

    def slow(*given: Any, **named: Any) -> Any:
        time.sleep(2 * SECONDS)
        return caller(*given, **named)

    monkeypatch.setattr(served.service._keys, "caller", slow)
    incoming = Incoming(Origin("Pages", "r1"), key, None, SECONDS)
    before = served.service._quotas.counts.read()
    with pytest.raises(DeadlineError):
        served.service.answer(incoming, pages_pb2.PagesRequest(), lambda _: None)
    assert served.service._quotas.counts.read() == before


def test_a_service_that_cannot_start_leaves_no_thread(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    apart, opened = store.apart, 0

    def apart_once(seconds: float) -> Store:
        nonlocal opened
        opened += 1
        if opened > 1:
            raise StoreUnavailableError("away")
        return apart(seconds)

    before = set(threading.enumerate())
    monkeypatch.setattr(store, "apart", apart_once)
    with pytest.raises(StoreUnavailableError, match="away"):
        PagesService(store)
    assert not [thread.name for thread in threading.enumerate() if thread not in before]
