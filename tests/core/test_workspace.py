from pathlib import Path

from transferkit.core.workspace import Workspace


def test_the_default_is_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Workspace.at() == Workspace(tmp_path / "transferkit-workspace", tmp_path / "transferkit-workspace" / "data")


def test_the_argument_wins_over_the_environment_and_the_environment_over_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_WORKSPACE", str(tmp_path / "from-environment"))
    assert Workspace.at().root == tmp_path / "from-environment"
    assert Workspace.at(tmp_path / "named").root == tmp_path / "named"


def test_an_empty_variable_counts_as_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERKIT_WORKSPACE", "")
    monkeypatch.setenv("TRANSFERKIT_DATA", "")
    assert Workspace.at().data == tmp_path / "transferkit-workspace" / "data"


def test_data_may_be_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_DATA", str(tmp_path / "sets"))
    assert Workspace.at(tmp_path / "w") == Workspace(tmp_path / "w", tmp_path / "sets")


def test_a_tilde_is_the_home_folder_and_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace.at("~/w").root == tmp_path / "w"
    monkeypatch.chdir(tmp_path)
    assert Workspace.at("w").root == tmp_path / "w"


def test_every_folder_is_in_the_workspace_and_none_is_created(tmp_path):
    workspace = Workspace.at(tmp_path / "w")
    folders = [workspace.features, workspace.results, workspace.episodes, workspace.runs, workspace.reports]
    assert folders == [tmp_path / "w" / name for name in ("features", "results", "episodes", "runs", "reports")]
    assert all(isinstance(folder, Path) for folder in folders)
    assert not workspace.root.exists()
