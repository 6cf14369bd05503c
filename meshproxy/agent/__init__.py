"""The agent: knows the configuration, tells the workers, answers the operator, reports what was counted."""
