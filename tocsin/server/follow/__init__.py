"""Following the log over HTTP: server-sent events and long polls."""
