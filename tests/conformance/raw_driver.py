"""A DRA driver in one file, without the kit: gRPC, HTTP, a JSON checkpoint. Correct, unless it is given a defect.

    python raw_driver.py DEFECT PLUGINS REGISTRY CDI NODE      (API server in KUBECONFIG)

What each defect stands for is in `test_defects.py`.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from fairlead.driver import kubelet_pb2 as pb

DEFECT, PLUGINS, REGISTRY, CDI, NODE = sys.argv[1], *map(Path, sys.argv[2:5]), sys.argv[5]
DRIVER = "raw.example.com"
CONFIG = ("raw.example.com/v1", "KnobConfig")
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
SELECTOR = f"fieldSelector=spec.driver%3D{DRIVER},spec.nodeName%3D{NODE}"
HERE = PLUGINS / DRIVER
CHECKPOINT = HERE / "checkpoint.json"
NAMES = [f"dev-{number}" for number in range(4)]
SERVER = re.search(r"server: '?http://([\d.:]+)", Path(os.environ["KUBECONFIG"]).read_text())[1]  # type: ignore[index]


def has(*names: str) -> bool:
    return DEFECT in names


class ApiError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


def request(method: str, path: str, body: Any = None, media: str = "application/json") -> Any:
    connection = http.client.HTTPConnection(SERVER, timeout=10)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": media})
        answer = connection.getresponse()
        data = json.loads(answer.read())
        if answer.status >= 300:
            raise ApiError(answer.status, data.get("message", ""))
        return data
    finally:
        connection.close()


# Publishing.


def device(name: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {"model": {"string": "raw"}, "resource.kubernetes.io/numaNode": {"int": 0}}
    attributes["resource.kubernetes.io/pciBusID"] = {"string": f"0000:3b:0{name[-1]}.0"}
    if has("attributes-dropped"):
        return {"name": name}
    if has("reserved-name"):
        attributes["resource.kubernetes.io/pageSize"] = {"string": "2Mi"}
    if has("numa-as-text"):
        attributes["resource.kubernetes.io/numaNode"] = {"string": "0"}
    if has("attribute-too-long"):
        attributes["model"] = {"string": "x" * 65}
    made: dict[str, Any] = {"name": name, "attributes": attributes}
    if has("taint-without-domain"):
        made["taints"] = [{"key": "old", "effect": "None", "timeAdded": "2026-01-01T00:00:00Z"}]
    return made


def wanted(place: int, generation: int) -> dict[str, Any]:
    count = 1 if has("count-wrong") else 2
    pool = {"name": NODE, "generation": generation, "resourceSliceCount": count}
    devices = [device(name) for name in NAMES[place * 2 : place * 2 + 2]]
    return {"driver": DRIVER, "nodeName": NODE, "pool": pool, "devices": devices}


def publish() -> None:
    uid = request("GET", f"/api/v1/nodes/{NODE}")["metadata"]["uid"]
    found = request("GET", SLICES if has("others-deleted") else f"{SLICES}?{SELECTOR}")["items"]
    names = [f"raw-{NODE}-{place}" for place in range(2)]
    for item in found:
        if item["metadata"]["name"] not in names and not has("generation-fixed"):
            request("DELETE", f"{SLICES}/{item['metadata']['name']}")
    by_name = {item["metadata"]["name"]: item for item in found}
    generation = max((item["spec"]["pool"]["generation"] for item in found), default=1)
    if has("generation-fixed"):
        generation = 1
    elif len(found) > len(names):
        generation += 1
    for place, name in enumerate(names):
        spec = wanted(place, generation)
        item = by_name.get(name)
        owner = {"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": uid}
        if item is None:
            metadata = {"name": name, "ownerReferences": [] if has("no-owner") else [owner]}
            request("POST", SLICES, {"metadata": metadata, "spec": spec})
        elif item["spec"] != spec or has("writes-always"):
            metadata = item["metadata"]
            if has("writes-always"):
                metadata["annotations"] = {"looked-at": str(time.time())}
            request("PUT", f"{SLICES}/{name}", {"metadata": metadata, "spec": spec})


def follow() -> None:
    """Publishes, and again at every change of a slice of ours."""
    tried = False
    while True:
        try:
            # The version is older than what publishing looks at, so that no change falls between.
            version = request("GET", f"{SLICES}?{SELECTOR}")["metadata"]["resourceVersion"]
            tried = True
            publish()
            if has("publish-once"):
                return
            connection = http.client.HTTPConnection(SERVER, timeout=600)
            connection.request("GET", f"{SLICES}?watch=1&resourceVersion={version}&{SELECTOR}")
            line = connection.getresponse().readline()
            connection.close()
            if b'"ERROR"' in line[:20] and has("watch-not-renewed"):
                return
        except (ApiError, OSError, http.client.HTTPException) as error:
            print("publishing:", error, flush=True)
            if has("conflict-given-up") and isinstance(error, ApiError) and error.status == 409:
                return
            if has("no-retry") and tried and isinstance(error, ApiError) and error.status >= 429:
                return
            time.sleep(0.05)


# Preparing.

lock = threading.Lock()
calls = 0
busy: set[str] = set()
gone: set[str] = set()


def load() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CHECKPOINT.read_text()) if CHECKPOINT.exists() else {}
    return found


def save(state: dict[str, Any]) -> None:
    data = json.dumps(state)
    if has("checkpoint-in-place"):
        with CHECKPOINT.open("w") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            time.sleep(0.1)
            file.write(data[len(data) // 2 :])
        return
    half = CHECKPOINT.with_suffix(".new")
    half.write_text(data)
    half.rename(CHECKPOINT)


def knob(config: list[dict[str, Any]], name: str) -> int:
    """The value of the last configuration that applies."""
    value = 0
    for source in ("FromClaim", "FromClass") if has("class-wins") else ("FromClass", "FromClaim"):
        for entry in config:
            opaque = entry.get("opaque") or {}
            if entry["source"] != source or (opaque.get("driver") != DRIVER and not has("foreign-config-read")):
                continue
            given = opaque["parameters"]
            if has("config-ignored"):
                continue
            if (given.get("apiVersion"), given.get("kind")) != CONFIG:
                raise ValueError(f"config: {given.get('kind')} is unknown")
            unknown = given.keys() - {"apiVersion", "kind", "level"}
            if unknown and not has("config-fields-ignored"):
                raise ValueError(f"config: {unknown}: unknown")
            if not entry.get("requests") or name in entry["requests"] or has("config-for-all"):
                value = given["level"]
    return value


def write_cdi(uid: str, record: dict[str, Any]) -> None:
    for one in record["devices"]:
        edits: dict[str, Any] = {"env": [f"KNOB={one['level']}"]}
        edits["deviceNodes"] = [{"path": f"/dev/{one['device']}", "hostPath": "/dev/null"}]
        if has("cdi-empty"):
            edits = {}
        name = one["cdi"].partition("=")[2]
        spec = {
            "cdiVersion": "0.3.0" if has("cdi-version-low") else "0.5.0",
            "kind": f"{DRIVER}/dev",
            "devices": [{"name": name, "containerEdits": edits}],
        }
        half = CDI / f".{name}.new"
        half.write_text(json.dumps(spec))
        half.rename(CDI / f"{DRIVER}-{name}.json")


def prepare(claim: Any) -> dict[str, Any]:
    global calls
    calls += 1
    gone.discard(claim.uid)
    state = load()
    if claim.uid in state and not has("not-repeatable"):
        if not has("cdi-not-restored"):
            write_cdi(claim.uid, state[claim.uid])
        record: dict[str, Any] = state[claim.uid]
        return record
    try:
        path = f"/apis/resource.k8s.io/v1/namespaces/{claim.namespace}/resourceclaims/{claim.name}"
        item = request("GET", path)
    except (ApiError, OSError) as error:
        if not has("first-device"):
            raise ValueError(f"claim cannot be read: {error}") from None
        first = {"request": "r0", "driver": DRIVER, "pool": NODE, "device": NAMES[0]}
        item = {"metadata": {"uid": claim.uid}, "status": {"allocation": {"devices": {"results": [first]}}}}
    if item["metadata"]["uid"] != claim.uid and not has("uid-not-checked"):
        raise ValueError("the claim was replaced")
    allocation = (item.get("status") or {}).get("allocation")
    if allocation is None:
        if not has("unallocated-accepted"):
            raise ValueError("the claim is not allocated")
        allocation = {"devices": {"results": [{"request": "r0", "driver": DRIVER, "pool": NODE, "device": NAMES[0]}]}}
    devices = []
    for result in allocation["devices"]["results"]:
        if result["driver"] != DRIVER and not has("foreign-not-skipped"):
            continue
        if result["device"] not in NAMES and not has("any-device"):
            raise ValueError(f"{result['device']}: no such device")
        free = bool(result.get("adminAccess")) and not has("admin-refused")
        for uid, other in state.items():
            held = [one["device"] for one in other["devices"] if not one["admin"] and uid != claim.uid]
            if result["device"] in held and not free and not has("overlap-accepted"):
                raise ValueError(f"{result['device']}: is in use by {uid}")
        knob_value = knob(allocation["devices"].get("config") or [], result["request"].partition("/")[0])
        name = result["device"] if has("cdi-unscoped") else f"{claim.uid}-{result['device']}"
        if has("not-repeatable"):
            name += f"-{calls}"
        devices.append(
            {
                "request": result["request"] if has("alternative-kept") else result["request"].partition("/")[0],
                "pool": result["pool"],
                "device": result["device"],
                "admin": bool(result.get("adminAccess")),
                "level": knob_value,
                "cdi": f"{DRIVER}/dev={name}",
            }
        )
    if not devices:
        raise ValueError("nothing of ours in the claim")
    record = {"devices": devices}
    save(state | {claim.uid: record})
    if not has("cdi-missing"):
        write_cdi(claim.uid, record)
    if not has("unallocated-accepted"):
        report(claim, item, record)
    return record


def report(claim: Any, item: dict[str, Any], record: dict[str, Any]) -> None:
    """Writes into the claim's status."""
    ours = [{"driver": DRIVER, "pool": one["pool"], "device": one["device"]} for one in record["devices"]]
    path = f"/apis/resource.k8s.io/v1/namespaces/{claim.namespace}/resourceclaims/{claim.name}/status"
    body: dict[str, Any] = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim"}
    body |= {"metadata": {"name": claim.name}, "status": {"devices": ours}}
    try:
        if has("status-replaced"):
            request("PATCH", path, body, "application/merge-patch+json")
        elif has("status-wrong"):
            ours[0]["device"] = "another"
            request("PATCH", f"{path}?fieldManager={DRIVER}&force=true", body, "application/apply-patch+yaml")
        else:
            request("PATCH", f"{path}?fieldManager={DRIVER}&force=true", body, "application/apply-patch+yaml")
    except (ApiError, OSError) as error:
        print("status:", error, flush=True)


def unprepare(claim: Any) -> None:
    state = load()
    if has("unprepared-once"):
        if claim.uid in gone:
            raise ValueError("is unprepared already")
        if claim.uid in state:
            gone.add(claim.uid)
    if has("unprepare-asks-server"):
        try:
            request("GET", f"/apis/resource.k8s.io/v1/namespaces/{claim.namespace}/resourceclaims/{claim.name}")
        except ApiError as error:
            if error.status != 404:
                raise
    if has("unprepare-reads-claim"):
        request("GET", f"/apis/resource.k8s.io/v1/namespaces/{claim.namespace}/resourceclaims/{claim.name}")
    if claim.uid not in state:
        if has("unprepare-needs-state"):
            raise ValueError("never prepared")
        return
    record = state.pop(claim.uid)
    in_use = {one["cdi"] for other in state.values() for one in other["devices"]}
    for one in record["devices"]:
        if one["cdi"] not in in_use and not has("cdi-left"):
            (CDI / f"{DRIVER}-{one['cdi'].partition('=')[2]}.json").unlink(missing_ok=True)
    save(state)


# Serving.


def do_prepare(asked: Any, context: Any) -> Any:
    answer = pb.PrepareResponse()
    for claim in asked.claims[:3] if has("entries-cut") else asked.claims:
        try:
            with lock:
                if claim.uid in busy:
                    raise ValueError("is being prepared")
                if has("busy-for-ever"):
                    busy.add(claim.uid)
                try:
                    record = prepare(claim)
                finally:
                    if context.is_active():
                        busy.discard(claim.uid)
            devices = [
                pb.Device(
                    request_names=[one["request"]],
                    pool_name=one["pool"],
                    device_name=one["device"],
                    cdi_device_ids=[one["cdi"]],
                )
                for one in (record["devices"][:1] if has("first-only") else record["devices"])
            ]
            answer.claims[claim.uid].CopyFrom(pb.PreparedClaim(devices=devices))
        except Exception as error:
            if has("batch-fails"):
                context.abort(grpc.StatusCode.INTERNAL, str(error))
            answer.claims[claim.uid].CopyFrom(pb.PreparedClaim(error=str(error)))
    return answer


def do_unprepare(asked: Any, context: Any) -> Any:
    answer = pb.UnprepareResponse()
    for claim in asked.claims:
        if has("entry-missing") and claim is not asked.claims[0]:
            continue
        error = ""
        try:
            with lock:
                unprepare(claim)
        except Exception as problem:
            error = str(problem)
        answer.claims[claim.uid].CopyFrom(pb.UnpreparedClaim(error=error))
    return answer


def watch(asked: Any, context: Any) -> Any:
    updated = int(time.time() * (1000 if has("health-in-milliseconds") else 1))
    places = [pb.DeviceIdentifier(pool_name=NODE, device_name=name) for name in NAMES]
    devices = [pb.DeviceHealth(device=one, health=pb.HEALTHY, last_updated_time=updated) for one in places]
    stop = threading.Event()
    context.add_callback(stop.set)
    while not stop.is_set():
        yield pb.WatchResponse(devices=devices)
        stop.wait(5)


def handler(method: Any, kind: Any, stream: bool = False) -> Any:
    make = grpc.unary_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
    return make(method, kind.FromString, lambda message: message.SerializeToString())


def serve(path: Path, services: dict[str, dict[str, Any]]) -> Any:
    if path.exists() and has("stale-socket"):
        sys.exit(f"{path}: address already in use")
    path.unlink(missing_ok=True)
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())
    )
    server.add_insecure_port(f"unix:{path}")
    server.start()
    return server


def main() -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    state = load()  # a checkpoint that cannot be read ends us
    if not has("cdi-not-restored", "cdi-missing"):
        for uid, record in state.items():
            write_cdi(uid, record)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    calls = {
        "NodePrepareResources": handler(do_prepare, pb.PrepareRequest),
        "NodeUnprepareResources": handler(do_unprepare, pb.UnprepareRequest),
    }
    services = {f"k8s.io.kubelet.pkg.apis.dra.{version}.DRAPlugin": calls for version in ("v1", "v1beta1")}
    services["v1.DRAResourceHealth"] = {"NodeWatchResources": handler(watch, pb.WatchRequest, stream=True)}
    versions = ["v1.DRAPlugin", "v1beta1.DRAPlugin", "v1.DRAResourceHealth"]
    if has("version-unknown"):
        versions = ["v1beta1"]
    if has("service-missing"):
        del services["k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin"]
    endpoint, registration = HERE / "dra.sock", REGISTRY / f"{DRIVER}-reg.sock"
    info = pb.PluginInfo(type="DRAPlugin", name=DRIVER, endpoint=str(endpoint), supported_versions=versions)

    def told(status: Any, context: Any) -> Any:
        if has("ends-when-refused") and not status.plugin_registered:
            os._exit(1)
        return pb.RegistrationStatusResponse()

    registering = {
        "GetInfo": handler(lambda asked, context: info, pb.InfoRequest),
        "NotifyRegistrationStatus": handler(told, pb.RegistrationStatus),
    }
    servers = [serve(endpoint, services), serve(registration, {"pluginregistration.Registration": registering})]
    threading.Thread(target=follow, daemon=True).start()
    stopping.wait()
    if has("slices-deleted-at-end"):
        for item in request("GET", f"{SLICES}?{SELECTOR}")["items"]:
            request("DELETE", f"{SLICES}/{item['metadata']['name']}")
    for server in servers:
        server.stop(0)
    if not has("socket-left"):
        registration.unlink(missing_ok=True)
        endpoint.unlink(missing_ok=True)
    if has("socket-left") and not registration.exists():  # gRPC removes it by itself
        import socket

        socket.socket(socket.AF_UNIX).bind(str(registration))
    os._exit(0)


if __name__ == "__main__":
    main()
