"""The web pages of a zoo: static files that work from disk. Packages come from strangers; all they say is escaped."""
