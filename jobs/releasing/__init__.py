"""What makes a model live: the promotion ledger, the published release, its readers, its review and retention."""
