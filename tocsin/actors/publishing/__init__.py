"""From a command to the users it concerns: notifications, topics, schedule, announcements."""
