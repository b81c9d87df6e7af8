"""The service over a made-up ClickHouse, clock, network and threads, which all follow from one seed.

    python -m support.simulated SEED…

lives the lives of these seeds, in a process of their own: there time passes only where every thread waits.
"""
