"""The protocols between our own parts, and the code generated from them."""
