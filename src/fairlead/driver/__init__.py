"""The kit for DRA drivers."""
