"""Pods to nodes and devices."""
