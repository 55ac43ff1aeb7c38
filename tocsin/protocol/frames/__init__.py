"""The frames of the WebSocket, in JSON and in Protocol Buffers."""
