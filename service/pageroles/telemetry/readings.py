"""What the parts of a server count themselves, as metrics."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pageroles.telemetry.metrics import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from pageroles.access.quotas import QuotaMeter
    from pageroles.admission import Admission
    from pageroles.counts import Counts
    from pageroles.ingest.writer import Writer
    from pageroles.report.residents import Residents
    from pageroles.store.store import Store
    from pageroles.store.watch import Watch
    from pageroles.turns import Turns


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a server that count.

    Attributes:
        store: The store.
        watch: Tells whether the store is ready.
        residents: The domains in memory.
        quotas: Counts requests against the quotas.
        admission: Accounts for what requests hold.
        turns: Gives requests their turns.
        refused: Return how many requests were refused since the server is busy, by what was wanting.
        written: Counts the sessions that callers wrote.
        writer: Stores them.
    """

    store: Store
    watch: Watch
    residents: Residents
    quotas: QuotaMeter
    admission: Admission
    turns: Turns
    refused: Sequence[Callable[[], Mapping[str, int]]]
    written: Counts
    writer: Writer

    def read(self) -> Iterator[Metric]:
        """Read what they have counted so far."""
        yield gauge("pageroles_requests_at_work", "Requests at work.", self.admission.taken)
        yield gauge("pageroles_requests_in_line", "Requests that wait for their turn.", self.turns.in_line)
        yield gauge("pageroles_places", "The most requests at work at once.", self.admission.places)
        yield gauge(
            "pageroles_answer_unread_bytes",
            "Bytes of large answers that their callers have not read.",
            self.admission.unread_bytes,
        )
        yield gauge("pageroles_answer_budget_bytes", "The most bytes of such answers.", self.admission.answer_bytes)
        yield counter(
            "pageroles_requests_shed",
            "Requests that were refused since the server is busy, by what was wanting.",
            {reason: number for refused in self.refused for reason, number in refused().items()},
            "reason",
        )
        yield counter(
            "pageroles_sessions_written",
            "Sessions that callers wrote: stored or rejected.",
            self.written.read(),
            "outcome",
        )
        yield gauge(
            "pageroles_unstored_bytes",
            "Bytes of sessions that callers wrote and that are not stored yet.",
            self.writer.unstored_bytes,
        )
        yield gauge("pageroles_store_ready", "Whether the store can be asked: 1, or 0.", int(self.watch.reason is None))
        yield from self._of_memory()
        yield counter(
            "pageroles_quota_requests",
            "Requests of domains with a quota: spent, returned since they failed, refused since it was used up.",
            self.quotas.counts.read(),
            "outcome",
        )
        statements = self.store.counted.statements
        yield counter("pageroles_clickhouse_statements", "Statements sent to ClickHouse.", statements["sent"])
        yield counter(
            "pageroles_clickhouse_streamed_bytes", "Bytes of streams from ClickHouse.", statements["streamed_bytes"]
        )
        yield counter(
            "pageroles_clickhouse_errors",
            "Statements that ended with an error, by its kind.",
            self.store.counted.errors.read(),
            "kind",
        )

    def _of_memory(self) -> Iterator[Metric]:
        kept = self.residents.kept().values()
        yield gauge("pageroles_resident_domains", "Domains in memory.", len(kept))
        yield gauge("pageroles_resident_sessions", "Sessions in memory.", sum(each.sessions for each in kept))
        yield gauge("pageroles_resident_bytes", "Bytes of the domains in memory.", sum(each.bytes for each in kept))
        yield gauge("pageroles_resident_budget_bytes", "The most bytes of domains in memory.", self.residents.budget)
        counts = dict(self.residents.counts.read())
        yield counter("pageroles_resident_domains_kept", "Domains that were taken into memory.", counts.pop("kept"))
        yield counter(
            "pageroles_resident_domains_forgotten",
            "Domains that were dropped from memory: for room, or since what is kept was lost, as after an erasure.",
            counts,
            "reason",
        )
        yield counter(
            "pageroles_part_looks",
            "Looks at the parts of the store: taken, shared with a request that took it, or spared, since nothing "
            "was written.",
            self.residents.looks.read(),
            "outcome",
        )
