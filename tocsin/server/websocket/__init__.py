"""The WebSocket edge: handshake, frames in and out, sessions."""
