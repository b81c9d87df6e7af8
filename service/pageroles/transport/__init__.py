"""Bytes in, bytes out: gRPC and REST. The only folder, with the client, that knows how requests travel."""
