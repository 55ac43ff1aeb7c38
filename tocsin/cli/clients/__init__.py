"""Commands that are clients of a server: a device, a producer, a crowd of both."""
