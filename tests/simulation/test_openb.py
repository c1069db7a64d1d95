"""CSV files to rows and Kubernetes objects, and what is wrong with a file in a line."""

from __future__ import annotations

import pytest
from traces import NODES, PODS, small

from fairlead.resource import validate
from fairlead.simulation import NodeRow, PodMaker, PodRow, TraceError, cluster, read_nodes, read_pods


def test_rows_are_read_by_the_names_of_columns() -> None:
    trace = small()
    assert trace.nodes[0] == NodeRow("n-0", 16000, 65536, 2, "T4")
    assert trace.pods[2] == PodRow("p-2", 4000, 4096, 2, 1000, ("A100", "V100"))
    assert trace.gpu_milli == 6000
    swapped = "gpu,model,sn,memory_mib,cpu_milli,more\n2,T4,n-0,65536,16000,x\n"
    assert read_nodes(swapped, "x") == [trace.nodes[0]]
    assert read_pods("name,cpu_milli,memory_mib,num_gpu,gpu_milli\nq,1,2,1,30\n", "x")[0].models == ()


def test_whole_numbers_may_be_written_with_a_point() -> None:
    rows = read_pods("name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1.0,1,1.0,30.0\n", "x")
    assert rows == [PodRow("a", 1, 1, 1, 30, ())]


def test_more_than_a_gpu_is_a_gpu_and_a_part_of_none_is_none() -> None:
    rows = read_pods("name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,1,2000\nb,1,1,0,500\n", "x")
    assert [row.gpu_milli for row in rows] == [1000, 0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n-1,16000", "n-1,many", "f.csv, line 3, column cpu_milli: 'many' is not a whole number of 0 or more"),
        ("n-1,16000", "n-1,-16000", "f.csv, line 3, column cpu_milli: '-16000' is not a whole number of 0 or more"),
        ("n-1,16000", "n-1,1e4", "f.csv, line 3, column cpu_milli: '1e4' is not a whole number of 0 or more"),
        ("n-1,16000", "n-1,", "f.csv, line 3, column cpu_milli: '' is not a whole number of 0 or more"),
        ("n-1,", ",", "f.csv, line 3, column sn: must not be empty"),
        ("n-1,", "n-0,", "f.csv, column sn: n-0 is there twice"),
        ("4,V100", "4,", "f.csv, line 3, column model: a node with GPUs must name their model"),
        ("4,V100", "129,V100", "f.csv, line 3, column gpu: 129 is more than 128"),
        ("4,V100", "4", "f.csv, line 3, column model: the row has 4 values, the header 5"),
        ("4,V100", "4,V100,x", "f.csv, line 3, column 6: the row has 6 values, the header 5"),
        ("cpu_milli,", "cpu,", "f.csv, line 1, column cpu_milli: the header does not name it"),
        ("n-1", '"n-1', "f.csv, line 4, column 1: not CSV: unexpected end of data"),
    ],
)
def test_a_bad_node_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(TraceError) as error:
        read_nodes(NODES.replace(old, new, 1), "f.csv")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1,500", "1,0", "f.csv, line 2, column gpu_milli: a pod with GPUs must ask for more than 0 of each"),
        ("1,500", "33,500", "f.csv, line 2, column num_gpu: 33 is more than 32"),
        ("1,500", "1,0.5", "f.csv, line 2, column gpu_milli: '0.5' is not a whole number of 0 or more"),
        ("p-1", "p-0", "f.csv, column name: p-0 is there twice"),
    ],
)
def test_a_bad_pod_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(TraceError) as error:
        read_pods(PODS.replace(old, new, 1), "f.csv")
    assert str(error.value) == message


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(TraceError, match=r"f\.csv, line 1, column name: the file is empty"):
        read_pods("", "f.csv")


def test_objects_are_those_that_the_api_server_takes() -> None:
    trace = small()
    made = cluster(trace.nodes)
    maker = PodMaker()
    claims = [used.claim for row in trace.pods for used in maker.pod(row).claims]
    assert [problem for item in [*made.slices, *made.classes, *claims] for problem in validate(item)] == []
    assert [len(slice_.spec.devices) for slice_ in made.slices] == [2, 4]
    assert len(made.nodes) == 3


def test_pods_that_ask_for_the_same_share_their_specs() -> None:
    maker = PodMaker()
    row = small().pods[0]
    one, other = maker.pod(row), maker.pod(row, "again")
    assert one.claims[0].claim.spec is other.claims[0].claim.spec
    assert one.pod.spec is other.pod.spec
    assert (one.pod.key, other.pod.key) == ("openb/p-0", "openb/again")
    assert one.claims[0].claim.key != other.claims[0].claim.key


def test_a_model_is_a_string_whatever_it_holds() -> None:
    row = PodRow("p", 1, 1, 1, 1000, ('a"] || true || "b" in ["\\',))
    claim = PodMaker().pod(row).claims[0].claim
    assert not validate(claim)
    nodes = [NodeRow("n", 10, 10, 1, "T4"), NodeRow("m", 10, 10, 1, row.models[0])]
    from fairlead.placement import plan

    assert [placement.node for placement in plan(cluster(nodes), [PodMaker().pod(row)])] == ["m"]
