"""How devices and nodes are wired: where each device sits, which domains nodes share, what a link carries."""
