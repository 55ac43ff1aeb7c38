"""Real servers for tests: thrown away afterwards, no root and no container needed."""
