"""The durable log: one port (`store`), its adapters, and the SQL they share."""
