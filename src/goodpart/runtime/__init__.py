"""The line: an inspector that stays loaded, and the watch folder around it."""
