"""The command line: one file a noun, imported when its command is called."""
