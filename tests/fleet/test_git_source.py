"""How `submodel-fleet build` lets git reach out."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet import git_source


def test_certificates_of_a_ci_service_are_passed_on_and_nothing_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git runs in the folder that it fetches into: a relative name would be one of the stranger's."""
    seen: dict[str, str] = {}

    def run_git(root: Path, *words: str, more: dict[str, str], **_: object) -> bytes:
        seen.update(more)
        return b"0" * 40 + b"\tHEAD\n"

    monkeypatch.setattr(git_source, "run_git", run_git)
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("GIT_SSL_CAINFO", "certificates.pem"),
        ("GIT_SSL_CAPATH", ""),
        ("GIT_SSL_NO_VERIFY", "1"),
        ("GIT_SSH_COMMAND", "evil"),
        ("GIT_PROXY_COMMAND", "evil"),
    ):
        monkeypatch.setenv(name, value)
    git_source.ask_commit("https://git.example.com/app.git", "HEAD")
    assert seen["GIT_SSL_CAINFO"] == str(tmp_path / "certificates.pem")
    assert not {"GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY", "GIT_PROXY_COMMAND"} & set(seen)
    assert "evil" not in seen.values()


def test_a_checkout_writes_long_paths_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's configuration, where git's installer may have said so, is not read."""
    given: dict[str, dict[str, str]] = {}

    def run_git(root: Path, command: str, *_: str, more: dict[str, str] | None = None, **__: object) -> bytes:
        given[command] = more or {}
        return b""

    monkeypatch.setattr(git_source, "run_git", run_git)
    git_source.fetch("https://git.example.com/app.git", "0" * 40, tmp_path / "app")
    checkout = given["checkout"]
    number = next(name for name, value in checkout.items() if value == "core.longpaths").rpartition("_")[2]
    assert checkout[f"GIT_CONFIG_VALUE_{number}"] == "true"
    assert int(number) < int(checkout["GIT_CONFIG_COUNT"])
