"""The server as strangers and voters see it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ddecli.collect.ballot import Ballot
from ddecli.collect.server import HOST, PAGE, address, listen, make_app, new_token
from ddecli.core.errors import UserError
from ddecli.data.votes import read_votes

TOKEN = "t0ken"


@pytest.fixture
def client(ballot: Callable[..., Ballot]) -> TestClient:
    return TestClient(make_app(ballot(), TOKEN), base_url=f"http://{HOST}/{TOKEN}/", follow_redirects=False)


def test_voting(client: TestClient, tmp_path: Path) -> None:
    assert client.get("state").json() == {"voters": []}
    state = client.get("state", params={"voter": " Ann  M "}).json()
    assert (state["voter"], state["done"], state["total"], state["can_undo"]) == ("Ann M", 0, 4, False)
    for number in range(4):
        pair = state["pair"]
        assert client.get(pair["left"]).headers["content-type"] == "image/png"
        assert client.get(pair["left"]).content != client.get(pair["right"]).content
        following = state["following"]
        body = {"voter": "Ann M", "pair": pair["id"], "choice": "right", "seconds": 1.5}
        state = client.post("vote", json=body).json()
        assert state["done"] == number + 1 == len(read_votes(tmp_path / "votes"))
        if state["pair"]:
            assert following["left"] == state["pair"]["left"]
    assert state["pair"] is None and state["seconds_left"] == 0
    state = client.post("undo", json={"voter": "Ann M"}).json()
    assert state["done"] == 3 and state["pair"] == pair
    assert client.get("state").json() == {"voters": ["Ann M"]}


def test_nothing_tells_where_a_picture_came_from(client: TestClient, folders: list[Path]) -> None:
    for folder in folders:
        (folder.rename(folder.with_name(f"secret-{folder.name}")).rename(folder))
    answers = client.get("state", params={"voter": "ann"})
    assert str(folders[0].parent) not in answers.text and "png" not in answers.text


@pytest.mark.parametrize("token", ["", "wrong", "t0kem", "t0ken2", "%C3%A9", "%2e%2e/t0ken"])
def test_without_the_token_there_is_nothing(client: TestClient, token: str) -> None:
    for path in ("", "state", "page.js", "vote", "picture"):
        for method in ("GET", "POST"):
            answer = client.request(method, f"http://{HOST}/{token}/{path}")
            assert answer.status_code == 403, (token, path)
            assert "address is not whole" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil"])
def test_other_names_of_the_machine_are_refused(client: TestClient, host: str) -> None:
    for path in ("", "state", "page.css"):
        assert client.get(path, headers={"host": host}).status_code == 400
    assert client.get("state", headers={"host": "localhost:8765"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "page.py",
        "../server.py",
        "..%2fserver.py",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "page/page.html",
        "pictures/x.png",
        "votes.jsonl",
        "picture/../../votes.jsonl",
    ],
)
def test_no_file_is_served_by_its_name(client: TestClient, path: str) -> None:
    assert client.get(f"http://{HOST}/{TOKEN}/{path}").status_code in (403, 404)


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    for path in PAGE:
        answer = client.get(path)
        assert answer.status_code == 200
        assert "http:" not in answer.text and "https:" not in answer.text and "//cdn" not in answer.text
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("vote", b"{", "no vote"),
        ("vote", b"[]", "no vote"),
        ("vote", b"{}", "needs a name"),
        ("vote", b'{"voter": "ann", "pair": "x", "choice": "left"}', "not asked here"),
        ("vote", b'{"voter": "' + b"a" * 20_000 + b'"}', "too long"),
        ("undo", b'{"voter": "ann"}', "no vote to take back"),
        ("undo", b'{"voter": 7, "x": ' + b"[" * 5000 + b"}", "no vote"),
    ],
)
def test_what_is_no_vote(client: TestClient, tmp_path: Path, path: str, body: bytes, said: str) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code == 400 and said in answer.json()["error"]
    assert read_votes(tmp_path / "votes") == []


@pytest.mark.parametrize("seconds", ["soon", -1, None, [3]])
def test_a_time_that_is_none_is_not_kept(client: TestClient, tmp_path: Path, seconds: object) -> None:
    pair = client.get("state", params={"voter": "ann"}).json()["pair"]
    body = {"voter": "ann", "pair": pair["id"], "choice": "tie", "seconds": seconds}
    assert client.post("vote", json=body).status_code == 200
    assert read_votes(tmp_path / "votes")[0].seconds is None


def test_pictures_removed_while_voting_are_said_and_left_out(
    client: TestClient, folders: list[Path], tmp_path: Path
) -> None:
    state = client.get("state", params={"voter": "ann"}).json()
    for file in folders[1].glob("*.png"):
        file.unlink()
    body = {"voter": "bob", "pair": state["pair"]["id"], "choice": "left"}
    answer = client.post("vote", json=body).json()
    assert answer["gone"] and "removed or changed" in answer["error"]
    assert str(tmp_path) not in answer["error"]
    state = client.get("state", params={"voter": "bob"}).json()
    assert state["pair"] is None and (state["left_out"], state["total"]) == (4, 0)
    assert read_votes(tmp_path / "votes") == []


def test_this_machine_alone_is_listened_to() -> None:
    with listen(0) as found:
        host, port = found.getsockname()
        assert host == HOST
        token = new_token()
        assert len(token) >= 20 and token != new_token()
        assert address(found, token) == f"http://127.0.0.1:{port}/{token}/"
        with pytest.raises(UserError, match=f"Port {port} cannot be used"):
            listen(port)
        with socket.create_connection((HOST, port), timeout=5):
            pass
