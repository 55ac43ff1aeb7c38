"""HTTP requests of the node's own to destinations that users name, behind a guard."""
