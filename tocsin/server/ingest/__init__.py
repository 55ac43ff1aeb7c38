"""Connectors: messages of brokers become notifications, each once."""
