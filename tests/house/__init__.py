"""The rules of the house (docs/style.md), as far as a machine can see them."""
