"""What each peer and credential may take, who is behind a proxy, and what was refused."""
