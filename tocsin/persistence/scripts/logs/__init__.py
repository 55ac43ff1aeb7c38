"""Publishing, updating, withdrawing: the logs of users and of everyone, in six steps (`change`)."""
