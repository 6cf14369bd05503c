"""Envoy's secret discovery: hands a workload's SVID and trust bundle to its proxy, and each new one as it
comes."""
