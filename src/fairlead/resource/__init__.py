"""The resource.k8s.io objects, and the few core ones that allocation needs."""
