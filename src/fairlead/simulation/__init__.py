"""Clusters that exist in memory only: made from a spec or a trace, filled with pods, and measured."""
