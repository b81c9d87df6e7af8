"""The store: the only folder that talks to ClickHouse."""
