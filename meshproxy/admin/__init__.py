"""The admin endpoint: Envoy's pages, read by people, scrapers and the mesh's own tools."""
