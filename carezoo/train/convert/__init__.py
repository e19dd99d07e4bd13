"""Models trained with CSBDeep become packages; `run.convert` is the way in."""
