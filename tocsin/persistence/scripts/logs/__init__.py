"""Publishing, updating, withdrawing: user logs and topic logs change in six steps (`change`)."""
