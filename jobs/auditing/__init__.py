"""The leak audit: what training reads is derived a second time, with queries of its own, and compared."""
