"""Takes reports in: exact totals from cumulative values that may be lost, repeated or late."""
