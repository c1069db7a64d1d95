"""Workloads of device plugins become workloads that claim devices."""

from __future__ import annotations

import copy
import json

import pytest

from fairlead.migration import RULES, RuleError, answers, migrate, read_rule

CLASSES = {"gpu.nvidia.com": "device.driver == 'gpu.nvidia.com'", "mig.nvidia.com": "device.driver == 'mig'"}


def deployment(*containers, annotations=None, init=(), **spec):
    template = {
        "metadata": {"annotations": annotations} if annotations else {},
        "spec": {"containers": list(containers)},
    }
    if init:
        template["spec"]["initContainers"] = list(init)
    template["spec"] |= spec
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "train", "namespace": "ml"},
        "spec": {"template": template},
    }


def counts(name, resource, count, **more):
    return {"name": name, "resources": {"limits": {resource: count}}, **more}


def claims(*documents, rules=RULES):
    return migrate(list(documents), rules, CLASSES, "claims")


def requests(result):
    [template] = [one for one in result.documents if one["kind"] == "ResourceClaimTemplate"]
    return {one["name"]: one["exactly"] for one in template["spec"]["spec"]["devices"]["requests"]}


def pod(result):
    [found] = [one for one in result.documents if one["kind"] == "Deployment"]
    return found["spec"]["template"]["spec"]


def told(result, level):
    return [str(note) for note in result.notes if note.level == level]


def test_a_count_becomes_a_request_of_a_claim_for_each_pod():
    result = claims(deployment(counts("main", "nvidia.com/gpu", 2)))
    assert [one["kind"] for one in result.documents] == ["ResourceClaimTemplate", "Deployment"]
    assert result.origins == [None, 0]
    assert result.documents[0]["metadata"] == {"name": "train-devices", "namespace": "ml"}
    assert requests(result) == {"gpu": {"deviceClassName": "gpu.nvidia.com", "count": 2}}
    assert pod(result)["resourceClaims"] == [{"name": "devices", "resourceClaimTemplateName": "train-devices"}]
    assert pod(result)["containers"][0]["resources"] == {"claims": [{"name": "devices", "request": "gpu"}]}
    assert told(result, "left") == []


def test_the_input_is_not_changed_and_other_resources_stay():
    before = deployment(
        {"name": "main", "resources": {"limits": {"nvidia.com/gpu": "1", "cpu": 2}, "requests": {"cpu": 1}}}
    )
    kept = copy.deepcopy(before)
    result = claims(before)
    assert before == kept
    resources = pod(result)["containers"][0]["resources"]
    assert resources["limits"] == {"cpu": 2}
    assert resources["requests"] == {"cpu": 1}


def test_each_container_gets_its_own_devices():
    result = claims(deployment(counts("a", "nvidia.com/gpu", 1), counts("b", "nvidia.com/gpu", 1)))
    assert list(requests(result)) == ["gpu", "b-gpu"]
    used = [one["resources"]["claims"][0]["request"] for one in pod(result)["containers"]]
    assert used == ["gpu", "b-gpu"]


def test_an_init_container_uses_the_devices_of_those_that_follow():
    result = claims(deployment(counts("main", "nvidia.com/gpu", 2), init=[counts("check", "nvidia.com/gpu", 2)]))
    assert list(requests(result)) == ["gpu"]
    assert pod(result)["initContainers"][0]["resources"]["claims"] == [{"name": "devices", "request": "gpu"}]


def test_an_init_container_with_another_count_gets_its_own_and_it_is_told():
    result = claims(deployment(counts("main", "nvidia.com/gpu", 2), init=[counts("check", "nvidia.com/gpu", 1)]))
    assert list(requests(result)) == ["gpu", "check-gpu"]
    assert any("stay with the pod when" in note for note in told(result, "look"))


def test_a_sidecar_has_its_own_devices():
    sidecar = counts("side", "nvidia.com/gpu", 1, restartPolicy="Always")
    result = claims(deployment(counts("main", "nvidia.com/gpu", 1), init=[sidecar]))
    assert len(requests(result)) == 2


@pytest.mark.parametrize(
    ("resource", "profile"),
    [
        ("nvidia.com/mig-1g.10gb", "1g.10gb"),
        ("nvidia.com/mig-1g.10gb.me", "1g.10gb+me"),
        ("nvidia.com/mig-1c.3g.40gb", "1c.3g.40gb"),
    ],
)
def test_mig_resources_name_their_profile(resource, profile):
    [exactly] = requests(claims(deployment(counts("main", resource, 1)))).values()
    assert exactly["deviceClassName"] == "mig.nvidia.com"
    expression = f"device.attributes['gpu.nvidia.com'].profile == '{profile}'"
    assert exactly["selectors"] == [{"cel": {"expression": expression}}]


def test_a_shared_gpu_becomes_a_share():
    result = claims(deployment(counts("main", "nvidia.com/gpu.shared", 1)))
    assert requests(result)["gpu"]["capacity"] == {"requests": {"shares": "1"}}
    assert any("is counted, not enforced" in note for note in told(result, "look"))


def test_what_no_rule_knows_stays_and_is_told_with_its_place():
    result = claims(deployment(counts("main", "acme.com/card", 2)))
    assert result.documents == [deployment(counts("main", "acme.com/card", 2))]
    assert told(result, "left") == [
        'Deployment "ml/train": spec.template.spec.containers[0].resources.limits[acme.com/card]: '
        "no rule says what this is; give one with --map"
    ]


def test_a_rule_of_the_user_comes_first():
    rule = read_rule(
        "nvidia.com/gpu=big.example.com,device.capacity['gpu.nvidia.com'].memory.isGreaterThan(quantity('40Gi'))"
    )
    result = claims(deployment(counts("main", "nvidia.com/gpu", 1)), rules=[rule, *RULES])
    [exactly] = requests(result).values()
    assert exactly["deviceClassName"] == "big.example.com"
    assert "isGreaterThan(quantity('40Gi'))" in exactly["selectors"][0]["cel"]["expression"]


@pytest.mark.parametrize("text", ["gpu=a", "nvidia.com/gpu", "nvidia.com/gpu=", "nvidia.com/gpu=No Class"])
def test_a_rule_that_is_none_is_refused(text):
    with pytest.raises(RuleError, match=r"must be RESOURCE=CLASS|is no name of a DeviceClass"):
        read_rule(text)


@pytest.mark.parametrize("amount", ["1.5", "many", -1, 33])
def test_a_count_that_is_none_stays_and_is_told(amount):
    result = claims(deployment(counts("main", "nvidia.com/gpu", amount)))
    assert len(result.documents) == 1
    assert "must be a whole number up to 32" in told(result, "left")[0]


def test_zero_devices_need_no_claim():
    result = claims(deployment(counts("main", "nvidia.com/gpu", 0)))
    assert [one["kind"] for one in result.documents] == ["Deployment"]
    assert "resources" not in pod(result)["containers"][0]
    assert "nvidia.com/gpu: 0 is taken out" in told(result, "changed")[0]


def test_a_pod_with_more_devices_than_a_claim_holds_gets_several_claims():
    both = {"name": "main", "resources": {"limits": {"nvidia.com/gpu": 8, "vpc.amazonaws.com/efa": 32}}}
    result = claims(deployment(both))
    templates = [one for one in result.documents if one["kind"] == "ResourceClaimTemplate"]
    assert [one["metadata"]["name"] for one in templates] == ["train-devices", "train-devices-2"]
    counted = [one["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"] for one in templates]
    assert counted == [8, 32]
    assert pod(result)["resourceClaims"] == [
        {"name": "devices", "resourceClaimTemplateName": "train-devices"},
        {"name": "devices-2", "resourceClaimTemplateName": "train-devices-2"},
    ]
    assert pod(result)["containers"][0]["resources"]["claims"] == [
        {"name": "devices", "request": "gpu"},
        {"name": "devices-2", "request": "efa"},
    ]
    assert any("has 2 claims" in note for note in told(result, "look"))


def test_an_init_container_uses_the_devices_of_several_together():
    result = claims(
        deployment(
            counts("a", "nvidia.com/gpu", 2),
            counts("b", "nvidia.com/gpu", 2),
            init=[counts("check", "nvidia.com/gpu", 4)],
        )
    )
    assert list(requests(result)) == ["gpu", "b-gpu"]
    assert [one["request"] for one in pod(result)["initContainers"][0]["resources"]["claims"]] == ["gpu", "b-gpu"]


def test_a_tier_of_spyre_cards_stays_near():
    result = claims(deployment(counts("main", "ibm.com/spyre_pf_tier1", 4)))
    [template] = [one for one in result.documents if one["kind"] == "ResourceClaimTemplate"]
    assert template["spec"]["spec"]["devices"]["constraints"] == [
        {"requests": ["spyre"], "matchAttribute": "spyre.ibm.com/peerGroup1"}
    ]
    for resource, count in (("ibm.com/spyre_pf", 4), ("ibm.com/spyre_pf_tier0", 1)):
        [template, _] = claims(deployment(counts("main", resource, count))).documents
        assert "constraints" not in template["spec"]["spec"]["devices"]


def test_a_resource_for_which_a_class_of_the_input_answers_becomes_that_class():
    given = {
        "kind": "DeviceClass",
        "metadata": {"name": "cards.acme.com"},
        "spec": {"extendedResourceName": "acme.com/card"},
    }
    documents = [given, deployment(counts("main", "acme.com/card", 2))]
    result = claims(*documents, rules=[*answers(documents), *RULES])
    assert requests(result) == {"card": {"deviceClassName": "cards.acme.com", "count": 2}}


ODD = [
    {"kind": "Pod", "metadata": None, "spec": {"containers": None}},
    {"kind": "Pod", "metadata": ["a"], "spec": {"containers": [1, {"resources": []}, {"resources": {"limits": [1]}}]}},
    {"kind": "Pod", "metadata": {"annotations": ["a"]}, "spec": {"containers": [], "nodeSelector": ["a"]}},
    {"kind": "DeviceClass", "metadata": 1, "spec": "a"},
    {"kind": "DeviceClass", "metadata": {"name": "a"}, "spec": {"selectors": [1, {"cel": 2}]}},
    {"kind": "NetworkAttachmentDefinition", "metadata": {"annotations": 3}},
    {"kind": "ResourceQuota", "spec": {"hard": [1]}},
    {"kind": "LimitRange", "spec": {"limits": [1, {"max": 2}]}},
]


@pytest.mark.parametrize("target", ["claims", "extended-resources"])
@pytest.mark.parametrize("document", ODD)
def test_what_is_no_manifest_stays_as_it_is(document, target):
    assert migrate([document], [*answers([document]), *RULES], CLASSES, target).documents == [document]


def test_null_where_a_list_belongs_is_an_empty_one():
    result = claims(deployment(counts("main", "nvidia.com/gpu", 1), resourceClaims=None))
    assert len(pod(result)["resourceClaims"]) == 1
    result = claims(deployment(counts("main", "nvidia.com/gpu", 1), resourceClaims={}))
    assert len(pod(result)["resourceClaims"]) == 1
    result = claims(deployment(counts("main", "nvidia.com/gpu", 1), resourceClaims={"name": "a"}))
    assert told(result, "left") == ['Deployment "ml/train": spec.template.spec.resourceClaims: must be a list']


def test_claims_and_templates_of_the_same_name_are_left_alone():
    other = {"kind": "ResourceClaimTemplate", "metadata": {"name": "train-devices", "namespace": "ml"}}
    workload = deployment(
        counts("main", "nvidia.com/gpu", 1), resourceClaims=[{"name": "devices", "resourceClaimName": "x"}]
    )
    result = claims(other, workload)
    assert result.documents[1]["metadata"]["name"] == "train-devices-2"
    assert [one["name"] for one in pod(result)["resourceClaims"]] == ["devices", "devices-2"]


NETWORK = "k8s.v1.cni.cncf.io/networks"


def definition(name="fast", resource="openshift.io/fast"):
    annotations = {"k8s.v1.cni.cncf.io/resourceName": resource}
    return {
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": "ml", "annotations": annotations},
    }


@pytest.mark.parametrize(
    ("annotation", "interface", "left"),
    [
        ("fast", "net1", None),
        ("ml/fast@rdma0", "rdma0", None),
        ("other/slow, fast@rdma0", "rdma0", "other/slow"),
        ('[{"name": "fast", "interface": "rdma0"}]', "rdma0", None),
        ('[{"name": "slow"}, {"name": "fast"}]', "net2", '[{"name": "slow"}]'),
        # Multus calls the networks that are left net1, net2 and so on.
        ("fast, slow, ml/other@x", "net1", "slow@net2,ml/other@x"),
        ('[{"name": "fast"}, {"name": "slow"}]', "net1", '[{"name": "slow", "interface": "net2"}]'),
    ],
)
def test_a_network_with_a_resource_becomes_a_request_with_configuration(annotation, interface, left):
    workload = deployment(counts("main", "openshift.io/fast", 1), annotations={NETWORK: annotation})
    result = claims(definition(), workload)
    template = result.documents[1]
    [exactly] = requests(result).values()
    assert exactly["selectors"][0]["cel"]["expression"].endswith("resourceName == 'openshift.io/fast'")
    [config] = template["spec"]["spec"]["devices"]["config"]
    assert config["requests"] == ["nic"]
    parameters = config["opaque"]["parameters"]
    assert (parameters["ifName"], parameters["netAttachDefName"]) == (interface, "fast")
    changed = result.documents[2]["spec"]["template"]
    assert changed["metadata"].get("annotations", {}).get(NETWORK) == left
    assert changed["spec"]["containers"][0]["resources"]["claims"] == [{"name": "devices", "request": "nic"}]


def test_a_network_that_no_container_counts_goes_to_the_first():
    result = claims(definition(), deployment({"name": "main"}, {"name": "side"}, annotations={NETWORK: "fast"}))
    assert "resources" in pod(result)["containers"][0]
    assert "resources" not in pod(result)["containers"][1]


def test_what_a_claim_cannot_say_of_a_network_keeps_the_network():
    result = claims(
        definition(),
        deployment({"name": "main"}, annotations={NETWORK: '[{"name": "fast", "mac": "02:00:00:00:00:01"}]'}),
    )
    assert "a claim cannot say mac" in told(result, "left")[0]
    assert len(result.documents) == 2


def test_a_network_that_stays_keeps_its_resource_and_the_networks_of_the_same_one():
    annotation = '[{"name": "fast"}, {"name": "fast", "ips": ["10.0.0.1/24"]}, {"name": "other"}]'
    workload = deployment(
        {"name": "main", "resources": {"limits": {"openshift.io/fast": 2, "openshift.io/other": 1}}},
        annotations={NETWORK: annotation},
    )
    result = claims(definition(), definition("other", "openshift.io/other"), workload)
    assert [one["exactly"]["selectors"][0]["cel"]["expression"] for one in _requests_of(result)] == [
        "device.attributes['k8s.cni.cncf.io'].resourceName == 'openshift.io/other'"
    ]
    [changed] = [one for one in result.documents if one["kind"] == "Deployment"]
    assert changed["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] == {"openshift.io/fast": 2}
    assert json.loads(changed["spec"]["template"]["metadata"]["annotations"][NETWORK]) == json.loads(annotation)[:2]
    assert len(told(result, "left")) == 2


def _requests_of(result):
    [template] = [one for one in result.documents if one["kind"] == "ResourceClaimTemplate"]
    return template["spec"]["spec"]["devices"]["requests"]


def test_an_annotation_that_cannot_be_read_is_told():
    result = claims(deployment({"name": "main"}, annotations={NETWORK: "[{"}))
    assert "cannot be read" in told(result, "left")[0]


def test_quotas_follow_and_say_what_they_count_together():
    hard = {"requests.nvidia.com/mig-1g.5gb": "3", "requests.nvidia.com/mig-2g.10gb": "2", "pods": "9"}
    quota = {"kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}
    result = claims(quota)
    assert result.documents[0]["spec"]["hard"] == {
        "pods": "9",
        "mig.nvidia.com.deviceclass.resource.k8s.io/devices": "5",
    }
    assert "counts all devices of the class together" in told(result, "changed")[1]


def test_pods_in_kinds_that_nobody_knows_are_found():
    job = {
        "kind": "NewJob",
        "metadata": {"name": "j"},
        "spec": {
            "roles": [{"template": {"spec": {"containers": [counts("m", "nvidia.com/gpu", 1)]}}} for _ in range(2)]
        },
    }
    result = claims(job)
    names = [one["metadata"]["name"] for one in result.documents if one["kind"] == "ResourceClaimTemplate"]
    assert names == ["j-devices", "j-roles-1-devices"]


def test_what_cannot_be_changed_in_place_is_told():
    job = {
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": {"spec": {"containers": [counts("m", "nvidia.com/gpu", 1)]}}},
    }
    assert any("delete the Job" in note for note in told(claims(job), "look"))


def test_labels_of_the_devices_are_pointed_at():
    result = claims(
        deployment(counts("m", "nvidia.com/gpu", 1), nodeSelector={"nvidia.com/gpu.product": "H100", "zone": "a"})
    )
    assert [note for note in told(result, "look") if "nodeSelector[nvidia.com/gpu.product]" in note]


def test_labels_in_affinities_are_pointed_at():
    terms = [{"matchExpressions": [{"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["40000"]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    result = claims(deployment(counts("m", "nvidia.com/gpu", 1), affinity=affinity))
    assert any("affinity.nodeAffinity: nvidia.com/gpu.memory: stays" in note for note in told(result, "look"))


def test_a_limit_range_is_pointed_at():
    limits = {"kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [{"max": {"nvidia.com/gpu": 1}}]}}
    assert told(claims(limits), "look") == [
        'LimitRange "l": spec.limits[0].max[nvidia.com/gpu]: stays, and bounds nothing that claims ask for'
    ]


def extended(*documents):
    return migrate(list(documents), RULES, CLASSES, "extended-resources")


def test_classes_answer_for_resources_and_workloads_stay():
    workload = deployment(
        counts("a", "nvidia.com/gpu", 1), counts("b", "nvidia.com/mig-1g.10gb", 1), counts("c", "rdma/hca", 1)
    )
    result = extended(workload)
    assert result.documents[-1] == workload
    names = {one["metadata"]["name"]: one["spec"]["extendedResourceName"] for one in result.documents[:-1]}
    assert names == {
        "gpu.nvidia.com": "nvidia.com/gpu",
        "mig-1g-10gb.nvidia.com": "nvidia.com/mig-1g.10gb",
        "hca.rdma": "rdma/hca",
    }


def test_classes_of_the_input_are_used():
    mine = {
        "kind": "DeviceClass",
        "metadata": {"name": "mig-small"},
        "spec": {"extendedResourceName": "nvidia.com/mig-1g.10gb"},
    }
    plain = {"kind": "DeviceClass", "metadata": {"name": "gpu.nvidia.com"}, "spec": {"selectors": [{"cel": {}}]}}
    result = extended(
        mine, plain, deployment(counts("a", "nvidia.com/gpu", 1), counts("b", "nvidia.com/mig-1g.10gb", 1))
    )
    assert [one["metadata"]["name"] for one in result.documents] == ["mig-small", "gpu.nvidia.com", "train"]
    assert result.documents[0] == mine
    assert result.documents[1]["spec"] == {"selectors": [{"cel": {}}], "extendedResourceName": "nvidia.com/gpu"}
    assert any("DeviceClass mig-small of the input answers for" in note for note in told(result, "changed"))


def test_a_class_that_answers_for_another_resource_is_not_changed():
    mine = {
        "kind": "DeviceClass",
        "metadata": {"name": "gpu.nvidia.com"},
        "spec": {"extendedResourceName": "example.com/gpu"},
    }
    result = extended(mine, deployment(counts("a", "nvidia.com/gpu", 1)))
    assert result.documents[0] == mine
    assert "answers for another resource" in told(result, "left")[0]


def test_a_class_says_nothing_of_tiers():
    result = migrate(
        [deployment(counts("a", "ibm.com/spyre_pf_tier0", 2))],
        RULES,
        {"spyre.ibm.com": "device.driver == 'spyre.ibm.com'"},
        "extended-resources",
    )
    assert any("a class cannot say that devices agree" in note for note in told(result, "look"))


def test_what_a_class_cannot_say_is_told():
    result = extended(deployment(counts("a", "nvidia.com/gpu.shared", 1), annotations={NETWORK: "fast"}))
    assert len(told(result, "left")) == 2
    assert all("use --to claims" in note for note in told(result, "left"))


def test_a_class_that_is_not_known_is_named_with_what_to_do():
    rules = [read_rule("acme.com/card=cards.acme.com"), *RULES]
    result = migrate([deployment(counts("a", "acme.com/card", 1))], rules, CLASSES, "extended-resources")
    assert "set spec.extendedResourceName: acme.com/card in DeviceClass cards.acme.com" in told(result, "left")[0]
