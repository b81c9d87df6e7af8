"""API keys and quotas: who may ask, and how often."""
