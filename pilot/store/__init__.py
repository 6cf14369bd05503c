"""Where applied objects live: one port, two stores."""
