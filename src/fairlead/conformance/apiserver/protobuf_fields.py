"""The fields of the objects that drivers write, by their numbers in Kubernetes' protocol buffers.

`name` and kind: string, int64, int32, bool, time, quantity, raw (JSON in bytes), or another message of the table;
`list` or `map` before it for many of them. A field without a name stands for its members. What the stand-in does not
keep is left out.

Source: generated.proto of k8s.io/api resource/v1 and core/v1 0.37.2, and of k8s.io/apimachinery meta/v1.
"""

from __future__ import annotations

from typing import Final

Fields = dict[int, tuple[str, str]]

MESSAGES: Final[dict[str, Fields]] = {
    "ResourceSlice": {
        1: ("metadata", "ObjectMeta"),
        2: ("spec", "ResourceSliceSpec"),
    },
    "ResourceClaim": {
        1: ("metadata", "ObjectMeta"),
        2: ("spec", "ResourceClaimSpec"),
        3: ("status", "ResourceClaimStatus"),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int64"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "list string"),
        6: ("ignoreStoreReadErrorWithClusterBreakingPotential", "bool"),
    },
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        7: ("generation", "int64"),
        8: ("creationTimestamp", "time"),
        9: ("deletionTimestamp", "time"),
        10: ("deletionGracePeriodSeconds", "int64"),
        11: ("labels", "map string"),
        12: ("annotations", "map string"),
        13: ("ownerReferences", "list OwnerReference"),
        14: ("finalizers", "list string"),
    },
    "ResourceSliceSpec": {
        1: ("driver", "string"),
        2: ("pool", "ResourcePool"),
        3: ("nodeName", "string"),
        4: ("nodeSelector", "NodeSelector"),
        5: ("allNodes", "bool"),
        6: ("devices", "list Device"),
        7: ("perDeviceNodeSelection", "bool"),
        8: ("sharedCounters", "list CounterSet"),
        9: ("partitionTypeAttribute", "string"),
        10: ("skipNodeOperations", "list string"),
    },
    "ResourceClaimSpec": {
        1: ("devices", "DeviceClaim"),
    },
    "ResourceClaimStatus": {
        1: ("allocation", "AllocationResult"),
        2: ("reservedFor", "list ResourceClaimConsumerReference"),
        4: ("devices", "list AllocatedDeviceStatus"),
    },
    "Preconditions": {
        1: ("uid", "string"),
        2: ("resourceVersion", "string"),
    },
    "OwnerReference": {
        1: ("kind", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
        5: ("apiVersion", "string"),
        6: ("controller", "bool"),
        7: ("blockOwnerDeletion", "bool"),
    },
    "ResourcePool": {
        1: ("name", "string"),
        2: ("generation", "int64"),
        3: ("resourceSliceCount", "int64"),
    },
    "NodeSelector": {
        1: ("nodeSelectorTerms", "list NodeSelectorTerm"),
    },
    "Device": {
        1: ("name", "string"),
        2: ("attributes", "map DeviceAttribute"),
        3: ("capacity", "map DeviceCapacity"),
        4: ("consumesCounters", "list DeviceCounterConsumption"),
        5: ("nodeName", "string"),
        6: ("nodeSelector", "NodeSelector"),
        7: ("allNodes", "bool"),
        8: ("taints", "list DeviceTaint"),
        9: ("bindsToNode", "bool"),
        10: ("bindingConditions", "list string"),
        11: ("bindingFailureConditions", "list string"),
        12: ("allowMultipleAllocations", "bool"),
        14: ("nodeAllocatableResources", "map NodeAllocatableResource"),
    },
    "CounterSet": {
        1: ("name", "string"),
        2: ("counters", "map Counter"),
    },
    "DeviceClaim": {
        1: ("requests", "list DeviceRequest"),
        2: ("constraints", "list DeviceConstraint"),
        3: ("config", "list DeviceClaimConfiguration"),
    },
    "AllocationResult": {
        1: ("devices", "DeviceAllocationResult"),
        3: ("nodeSelector", "NodeSelector"),
        5: ("allocationTimestamp", "time"),
    },
    "ResourceClaimConsumerReference": {
        1: ("apiGroup", "string"),
        3: ("resource", "string"),
        4: ("name", "string"),
        5: ("uid", "string"),
    },
    "AllocatedDeviceStatus": {
        1: ("driver", "string"),
        2: ("pool", "string"),
        3: ("device", "string"),
        4: ("conditions", "list Condition"),
        5: ("data", "raw"),
        6: ("networkData", "NetworkDeviceData"),
        7: ("shareID", "string"),
    },
    "NodeSelectorTerm": {
        1: ("matchExpressions", "list NodeSelectorRequirement"),
        2: ("matchFields", "list NodeSelectorRequirement"),
    },
    "DeviceAttribute": {
        2: ("int", "int64"),
        3: ("bool", "bool"),
        4: ("string", "string"),
        5: ("version", "string"),
        6: ("ints", "list int64"),
        7: ("bools", "list bool"),
        8: ("strings", "list string"),
        9: ("versions", "list string"),
    },
    "DeviceCapacity": {
        1: ("value", "quantity"),
        2: ("requestPolicy", "CapacityRequestPolicy"),
    },
    "DeviceCounterConsumption": {
        1: ("counterSet", "string"),
        2: ("counters", "map Counter"),
        3: ("compatibilityGroups", "list string"),
    },
    "DeviceTaint": {
        1: ("key", "string"),
        2: ("value", "string"),
        3: ("effect", "string"),
        4: ("timeAdded", "time"),
    },
    "NodeAllocatableResource": {
        3: ("mapping", "NodeAllocatableMapping"),
        4: ("overhead", "NodeAllocatableOverhead"),
    },
    "Counter": {
        1: ("value", "quantity"),
    },
    "DeviceRequest": {
        1: ("name", "string"),
        2: ("exactly", "ExactDeviceRequest"),
        3: ("firstAvailable", "list DeviceSubRequest"),
    },
    "DeviceConstraint": {
        1: ("requests", "list string"),
        2: ("matchAttribute", "string"),
        3: ("distinctAttribute", "string"),
    },
    "DeviceClaimConfiguration": {
        1: ("requests", "list string"),
        2: ("", "DeviceConfiguration"),
    },
    "DeviceAllocationResult": {
        1: ("results", "list DeviceRequestAllocationResult"),
        2: ("config", "list DeviceAllocationConfiguration"),
    },
    "Condition": {
        1: ("type", "string"),
        2: ("status", "string"),
        3: ("observedGeneration", "int64"),
        4: ("lastTransitionTime", "time"),
        5: ("reason", "string"),
        6: ("message", "string"),
    },
    "NetworkDeviceData": {
        1: ("interfaceName", "string"),
        2: ("ips", "list string"),
        3: ("hardwareAddress", "string"),
    },
    "NodeSelectorRequirement": {
        1: ("key", "string"),
        2: ("operator", "string"),
        3: ("values", "list string"),
    },
    "CapacityRequestPolicy": {
        1: ("default", "quantity"),
        3: ("validValues", "list quantity"),
        4: ("validRange", "CapacityRequestPolicyRange"),
    },
    "NodeAllocatableMapping": {
        1: ("capacityKey", "string"),
        2: ("capacityMultiplier", "quantity"),
        3: ("deviceMultiplier", "quantity"),
    },
    "NodeAllocatableOverhead": {
        1: ("perPod", "quantity"),
        2: ("perContainer", "quantity"),
    },
    "ExactDeviceRequest": {
        1: ("deviceClassName", "string"),
        2: ("selectors", "list DeviceSelector"),
        3: ("allocationMode", "string"),
        4: ("count", "int64"),
        5: ("adminAccess", "bool"),
        6: ("tolerations", "list DeviceToleration"),
        7: ("capacity", "CapacityRequirements"),
        8: ("derivedAttributes", "list DeviceDerivedAttribute"),
    },
    "DeviceSubRequest": {
        1: ("name", "string"),
        2: ("deviceClassName", "string"),
        3: ("selectors", "list DeviceSelector"),
        4: ("allocationMode", "string"),
        5: ("count", "int64"),
        6: ("tolerations", "list DeviceToleration"),
        7: ("capacity", "CapacityRequirements"),
        8: ("derivedAttributes", "list DeviceDerivedAttribute"),
    },
    "DeviceConfiguration": {
        1: ("opaque", "OpaqueDeviceConfiguration"),
    },
    "DeviceRequestAllocationResult": {
        1: ("request", "string"),
        2: ("driver", "string"),
        3: ("pool", "string"),
        4: ("device", "string"),
        5: ("adminAccess", "bool"),
        6: ("tolerations", "list DeviceToleration"),
        7: ("bindingConditions", "list string"),
        8: ("bindingFailureConditions", "list string"),
        9: ("shareID", "string"),
        10: ("consumedCapacity", "map quantity"),
        11: ("skipNodeOperations", "list string"),
    },
    "DeviceAllocationConfiguration": {
        1: ("source", "string"),
        2: ("requests", "list string"),
        3: ("", "DeviceConfiguration"),
    },
    "CapacityRequestPolicyRange": {
        1: ("min", "quantity"),
        2: ("max", "quantity"),
        3: ("step", "quantity"),
    },
    "DeviceSelector": {
        1: ("cel", "CELDeviceSelector"),
    },
    "DeviceToleration": {
        1: ("key", "string"),
        2: ("operator", "string"),
        3: ("value", "string"),
        4: ("effect", "string"),
        5: ("tolerationSeconds", "int64"),
    },
    "CapacityRequirements": {
        1: ("requests", "map quantity"),
    },
    "DeviceDerivedAttribute": {
        1: ("name", "string"),
        2: ("expression", "string"),
    },
    "OpaqueDeviceConfiguration": {
        1: ("driver", "string"),
        2: ("parameters", "raw"),
    },
    "CELDeviceSelector": {
        1: ("expression", "string"),
    },
}
