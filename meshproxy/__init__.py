"""The data plane: arbiter, agent and admin endpoint round the compiled workers."""
