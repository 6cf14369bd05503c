"""The bootstrap: from the text of a file to a typed value, or to every fault in it with its line."""
