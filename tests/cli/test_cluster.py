"""`fairlead cluster`: a spec becomes manifests, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from commands import Run, write


def test_what_it_prints_is_valid_and_can_be_planned_on(run: Run, tmp_path: Path) -> None:
    for form in ("yaml", "json"):
        made = run("cluster", "h100:nodes=2;bluefield", "-o", form)
        assert made.exit_code == 0
        checked = run("validate", "-f", "-", stdin=made.stdout)
        assert (checked.exit_code, checked.stdout) == (0, "14 objects are valid\n")


def test_a_spec_in_a_file_and_from_stdin(run: Run, tmp_path: Path) -> None:
    text = "parts: [{profile: power, nodes: 1}]"
    file = write(tmp_path / "spec.yaml", text)
    assert (
        run("cluster", file).stdout == run("cluster", "-", stdin=text).stdout == run("cluster", "power:nodes=1").stdout
    )


def test_a_file_is_written_whole(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "cluster.yaml"
    result = run("cluster", "power:nodes=1", "--output", target)
    assert (result.exit_code, result.stdout) == (0, "")
    assert target.read_text() == run("cluster", "power:nodes=1").stdout
    assert [file.name for file in tmp_path.iterdir()] == ["cluster.yaml"]


def test_a_bad_spec_writes_nothing(run: Run, tmp_path: Path) -> None:
    target = write(tmp_path / "cluster.yaml", "as it was")
    result = run("cluster", "power:nodes=0", "--output", target)
    assert result.exit_code == 2
    assert 'cluster spec "power:nodes=0": parts[0].nodes: Invalid value: 0' in result.stderr
    assert target.read_text() == "as it was"


def test_files_that_cannot_be_read_or_written(run: Run, tmp_path: Path) -> None:
    missing = run("cluster", tmp_path / "none.yaml")
    assert missing.exit_code == 2
    assert "No such file" in missing.stderr
    unwritable = run("cluster", "power:nodes=1", "--output", tmp_path / "no" / "x.yaml")
    assert unwritable.exit_code == 2
    assert "Traceback" not in unwritable.stderr
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in run("cluster", binary).stderr


def test_profiles_are_listed_with_their_fields(run: Run) -> None:
    listed = run("cluster", "--profiles").stdout
    assert "h100: nodes with 8 NVIDIA H100" in listed
    assert "gpu-order=pci" in listed
