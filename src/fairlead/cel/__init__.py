"""Device selectors: the CEL that Dynamic Resource Allocation allows, compiled to Python."""
