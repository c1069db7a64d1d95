"""Which devices exist, which node reaches them, and what is taken."""
