"""What Mixer shows: the mesh's metrics, declared once, and how they are written."""
