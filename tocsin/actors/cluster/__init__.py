"""The bridge to the other nodes: envelopes that are said, are heard, or may have been missed."""
