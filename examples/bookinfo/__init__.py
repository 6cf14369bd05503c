"""Stand-ins for the four services of Istio's Bookinfo sample: the same paths, JSON, versions and timeouts."""
