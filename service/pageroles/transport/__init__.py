"""gRPC and REST: bytes in, bytes out. Only this folder and the client know how requests travel."""
