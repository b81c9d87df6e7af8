"""The store. Only this folder talks to ClickHouse."""
