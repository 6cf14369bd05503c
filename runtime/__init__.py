"""What the services share: addresses, lifecycle, logging."""
