"""Fairlead: Dynamic Resource Allocation for Kubernetes: allocation, placement and drivers."""

__version__ = "0.1.0"
