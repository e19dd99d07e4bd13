"""For programs that host carezoo: the worker, its models, shared memory."""
