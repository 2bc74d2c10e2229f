import os
import subprocess
from pathlib import Path

import pytest
from configobj import ConfigObj
from dvc.config import Config

from dobble.storage.errors import StackError
from dobble.storage.stack import current_stack, environment, load_stack, use_stack

STACKS = Path(__file__).parents[2] / "stacks"
S3 = """
remote:
  url: s3://deck-bucket/dobble
  endpointurl: http://127.0.0.1:9000
  region: eu-central-1
  profile: lab
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DOBBLE_STACK", raising=False)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        "[core]\n    remote = local\n['remote \"local\"']\n    url = ../.dvc-storage\n"
    )
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/s3.yaml").write_text(S3)
    (tmp_path / "stacks/local.yaml").write_text((STACKS / "local.yaml").read_text())
    return tmp_path


def dvc_settings(project: Path) -> tuple[str, dict[str, object]]:
    config = Config(str(project / ".dvc"))
    name = config["core"]["remote"]
    return name, config["remote"][name]


def test_s3_stack_becomes_the_default_remote_of_dvc_with_timeouts_and_checked_pulls(project: Path) -> None:
    use_stack("s3", project)
    name, settings = dvc_settings(project)
    assert name == "stack-s3"
    assert settings["url"] == "s3://deck-bucket/dobble"
    assert settings["endpointurl"] == "http://127.0.0.1:9000"
    assert (settings["region"], settings["profile"]) == ("eu-central-1", "lab")
    assert (settings["connect_timeout"], settings["read_timeout"], settings["verify"]) == (10, 30, True)


def test_local_stack_is_a_folder_of_the_project(project: Path) -> None:
    use_stack("local", project)
    name, settings = dvc_settings(project)
    assert name == "stack-folder"
    assert Path(str(settings["url"])) == project / ".dvc-storage"


def test_stack_may_be_any_file_with_a_folder_anywhere(project: Path, tmp_path: Path) -> None:
    (project / "team.yaml").write_text(f"remote:\n  url: {tmp_path}/share\n")
    use_stack("team.yaml", project)
    assert dvc_settings(project)[1]["url"] == str(tmp_path / "share")


def test_using_a_stack_again_changes_no_byte(project: Path) -> None:
    files = [project / ".dvc/config.local", project / ".dobble/stack", project / ".dobble/stack.env"]
    use_stack("s3", project)
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files[:1]]
    use_stack("s3", project)
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files[:1]] == before
    assert all(file.is_file() for file in files)


def test_back_to_local_takes_out_all_that_s3_set_and_nothing_else(project: Path) -> None:
    local = project / ".dvc/config.local"
    local.write_text(
        "# by hand\n[cache]\n    type = hardlink,copy\n['remote \"mine\"']\n    url = /mnt/mine\n"
    )
    use_stack("s3", project)
    use_stack("local", project)
    text = local.read_text()
    assert text.startswith("# by hand\n")
    assert "s3" not in text
    assert "timeout" not in text
    config = ConfigObj(str(local))
    assert config["cache"]["type"] == ["hardlink", "copy"]
    assert config['remote "mine"']["url"] == "/mnt/mine"


def test_what_a_user_added_to_the_remote_of_a_stack_outlives_a_change_of_stack(project: Path) -> None:
    use_stack("s3", project)
    local = project / ".dvc/config.local"
    local.write_text(
        local.read_text().replace("region = eu-central-1", "region = eu-central-1\n    sse = AES256")
    )
    use_stack("local", project)
    assert dvc_settings(project)[0] == "stack-folder"
    use_stack("s3", project)
    assert dvc_settings(project)[1]["sse"] == "AES256"


def test_environment_variable_chooses_for_one_command_and_leaves_what_was_recorded(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_stack("local", project)
    monkeypatch.setenv("DOBBLE_STACK", "s3")
    chosen = current_stack(project)
    assert chosen is not None
    assert (chosen.choice, chosen.is_recorded) == ("s3", False)
    remotes = Config(str(project / ".dvc"))["remote"]
    assert remotes[chosen.remote]["url"] == "s3://deck-bucket/dobble"
    assert dvc_settings(project)[0] == "stack-folder"
    assert (project / ".dobble/stack").read_text() == "local\n"
    monkeypatch.delenv("DOBBLE_STACK")
    used = current_stack(project)
    assert used is not None
    assert (used.choice, used.remote, used.is_recorded) == ("local", "stack-folder", True)


def test_environment_variable_alone_records_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOBBLE_STACK", "s3")
    assert current_stack(project) is not None
    monkeypatch.delenv("DOBBLE_STACK")
    assert current_stack(project) is None
    assert dvc_settings(project)[0] == "local"


def test_stacks_of_two_commands_at_once_have_remotes_of_their_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "other.yaml").write_text(S3.replace("deck-bucket", "other-bucket"))
    used = []
    for choice in ("s3", "other.yaml"):
        monkeypatch.setenv("DOBBLE_STACK", choice)
        used.append(current_stack(project))
    remotes = Config(str(project / ".dvc"))["remote"]
    assert [remotes[one.remote]["url"] for one in used if one is not None] == [
        "s3://deck-bucket/dobble", "s3://other-bucket/dobble",
    ]  # fmt: skip


def test_what_a_user_added_to_the_remote_of_a_stack_holds_for_one_command_too(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_stack("s3", project)
    local = project / ".dvc/config.local"
    local.write_text(
        local.read_text().replace("region = eu-central-1", "region = eu-central-1\n    sse = AES256")
    )
    use_stack("local", project)
    monkeypatch.setenv("DOBBLE_STACK", "s3")
    used = current_stack(project)
    assert used is not None
    assert Config(str(project / ".dvc"))["remote"][used.remote]["sse"] == "AES256"


def test_edited_stack_file_holds_from_the_next_command_on(project: Path) -> None:
    use_stack("s3", project)
    (project / "stacks/s3.yaml").write_text(S3.replace("deck-bucket", "other-bucket"))
    used = current_stack(project)
    assert used is not None
    assert used.stack.remote.url == "s3://other-bucket/dobble"
    assert dvc_settings(project)[1]["url"] == "s3://other-bucket/dobble"


def test_without_a_choice_there_is_no_stack(project: Path) -> None:
    assert current_stack(project) is None
    assert not (project / ".dvc/config.local").exists()


def test_environment_file_can_be_read_by_a_shell(project: Path) -> None:
    use_stack("s3", project)
    command = "set -a; . .dobble/stack.env; env"
    done = subprocess.run(
        ["sh", "-c", command], cwd=project, env={"PATH": os.environ["PATH"]}, stdout=-1, check=True
    )
    said = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
    assert said["AWS_EC2_METADATA_DISABLED"] == "true"
    assert said["AWS_MAX_ATTEMPTS"] == "2"


def test_metadata_service_is_asked_on_aws_only() -> None:
    assert "AWS_EC2_METADATA_DISABLED" not in environment(None)
    assert environment("http://127.0.0.1:9000")["AWS_EC2_METADATA_DISABLED"] == "true"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("remote:\n  url: s3://deck-bucket/d\n  bucket: x\n", "remote.bucket: no such setting"),
        (
            "remote:\n  url: s3://deck-bucket/d\n  secret_access_key: hush\n",
            "remote.secret_access_key: no such",
        ),
        ("remote:\n  url: s3://deck-bucket/d\nmlflow: {}\n", "mlflow: no such setting"),
        ("remote: {}\n", "remote.url: is missing"),
        ("", "the file: "),
        ("remote:\n  url: 7\n", "remote.url: "),
        ("remote:\n  url: s3://YOUR-BUCKET/dobble\n", "remote.url: must name your bucket"),
        ("remote:\n  url: s3://deck-bucket\n", "remote.url: must name a folder in the bucket"),
        ("remote:\n  url: s3://hush:hush@deck-bucket/d\n", "remote.url: must name your bucket"),
        ("remote:\n  url: ftp://somewhere/d\n", "remote.url: must be s3://bucket/folder or a folder"),
        ("remote:\n  url: s3://deck-bucket/d\n  endpointurl: 127.0.0.1:9000\n", "remote.endpointurl: "),
        (
            "remote:\n  url: s3://deck-bucket/d\n  endpointurl: http://a:hush@b\n",
            "remote.endpointurl: must not hold",
        ),
        ("remote: [\n", "is no YAML (line"),
    ],
)
def test_wrong_stack_is_one_line_that_names_the_setting_and_no_secret(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "stack.yaml").write_text(text)
    with pytest.raises(StackError) as caught:
        load_stack(tmp_path / "stack.yaml")
    said = str(caught.value)
    assert message in said
    assert "\n" not in said
    assert "hush" not in said


def test_unknown_stack_says_what_is_expected(project: Path) -> None:
    with pytest.raises(StackError, match=r"stacks/cloud\.yaml: there is no such stack; `local`, `s3` or"):
        use_stack("cloud", project)


def test_wrong_stack_leaves_the_one_in_use_alone(project: Path) -> None:
    use_stack("s3", project)
    (project / "stacks/local.yaml").write_text("remote: {}\n")
    with pytest.raises(StackError):
        use_stack("local", project)
    assert dvc_settings(project)[0] == "stack-s3"


def test_examples_are_right_but_for_the_name_of_the_bucket(tmp_path: Path) -> None:
    assert not load_stack(STACKS / "local.yaml").remote.is_s3
    example = (STACKS / "s3.yaml").read_text()
    filled = tmp_path / "s3.yaml"
    filled.write_text(example.replace("YOUR-BUCKET", "deck-bucket").replace("# profile:", "profile:"))
    assert load_stack(filled).remote.url == "s3://deck-bucket/dobble"
    with pytest.raises(StackError, match="must name your bucket"):
        load_stack(STACKS / "s3.yaml")


def test_worktree_of_git_shares_the_folder_of_the_project_that_it_was_made_from(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def git(*arguments: str) -> None:
        user = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        subprocess.run(["git", *user, *arguments], cwd=project, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Start")
    worktree = tmp_path_factory.mktemp("elsewhere") / "worktree"
    git("worktree", "add", "--quiet", str(worktree))
    use_stack("local", worktree)
    name, settings = dvc_settings(worktree)
    assert name == "stack-folder"
    assert Path(str(settings["url"])).resolve() == project.resolve() / ".dvc-storage"
