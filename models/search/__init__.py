"""The search model: SigLIP towers with a country prefix and a keyword encoder, its loss and its training loop."""
