"""The command line: reads the environment and the clock once, and calls what is below."""
