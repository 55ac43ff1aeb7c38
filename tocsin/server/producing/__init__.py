"""Publishing for producers, alone and in batches, over HTTP and over WebSockets alike."""
