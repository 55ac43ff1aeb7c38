"""From a command to those whom it concerns: notifications, topics, the schedule, announcements."""
