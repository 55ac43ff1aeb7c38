"""One device's delivery as one machine: its phases, its session, and what rests."""
