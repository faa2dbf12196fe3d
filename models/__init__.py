"""Pure torch, numpy and faiss by subject: every function here can be read, tested and reused on its own."""
