"""The devices for a set of claims on one node: exact search, and the reasons when there is none."""
