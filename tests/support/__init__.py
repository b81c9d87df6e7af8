"""What tests share: the reference, random worlds, the SQL twin, a stand-in for a ClickHouse server, and clients."""
