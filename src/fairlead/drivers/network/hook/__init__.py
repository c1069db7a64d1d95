"""The program that puts an interface into a pod's network namespace, and takes it back.

The container runtime calls it on the node as a `createRuntime` hook (CDI), outside of the driver's container. It is
therefore Python's standard library and nothing else, and works from any folder and in a zip file: `install` in
`fairlead.drivers.network` puts it on the node. `rtnetlink` speaks to the kernel, `work` is what is done, `__main__` the
way from the runtime to it. The driver itself uses `work` to take interfaces back.
"""
