"""The words between the nodes of a cluster: envelopes, their seals, and sightings."""
