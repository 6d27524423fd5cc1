"""Forges in this process that page as the real ones do: their repositories change between pages, and they misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pipeline.fetch.forges.cursor import Pager
from pipeline.model.page import Page
from tests.support import bitbucket, github_rest, gitlab_rest
from tests.support.sockets import Line, Listener, listening

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

_OF_REPOSITORIES = (
    "archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents",
    "contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "hooks",
    "issue_comment", "issue_events", "issues", "keys", "labels", "languages", "merges", "milestones", "notifications",
    "pulls", "releases", "stargazers", "statuses", "subscribers", "subscription", "tags", "teams", "trees",
)  # fmt: skip
"""GitHub's items have a URL of each."""

_OF_USERS = (
    "avatar", "events", "followers", "following", "gists", "organizations", "received_events", "repos", "starred",
    "subscriptions",
)  # fmt: skip


@dataclass(frozen=True)
class Repo:
    """A repository; ``parent`` is the id of the one it was forked from."""

    id: int
    name: str
    parent: int | None = None
    archived: bool = False
    private: bool = False
    empty: bool = False
    changed: datetime = EPOCH
    pushes: int = 0


@dataclass
class Forge:
    """The model: repositories by id, in the order of their creation.

    Attributes:
        base: of clone URLs.
        sized: items that it gives at most on a page.
    """

    base: str = "https://forge.example"
    repos: dict[int, Repo] = field(default_factory=dict)
    sized: int = 100
    _next: int = 1
    _clock: datetime = EPOCH

    def create(self, name: str | None = None, **values: Any) -> Repo:
        number, self._next = self._next, self._next + 1
        self.repos[number] = Repo(number, name or f"o/r{number}", changed=self._tick(), **values)
        return self.repos[number]

    def change(self, number: int, **values: Any) -> None:
        """What is no push, and so moves no time of change on most forges."""
        self.repos[number] = replace(self.repos[number], **values)

    def push(self, number: int) -> None:
        self.change(number, empty=False, changed=self._tick(), pushes=self.repos[number].pushes + 1)

    def delete(self, number: int) -> None:
        del self.repos[number]

    def _tick(self) -> datetime:
        self._clock += timedelta(minutes=1)
        return self._clock

    @property
    def clock(self) -> datetime:
        """When it last changed."""
        return self._clock

    def url(self, repo: Repo) -> str:
        """The clone URL."""
        return f"{self.base}/{repo.name}.git"

    def shown(self) -> list[Repo]:
        """What everybody may see, by id."""
        return [repo for repo in self.repos.values() if not repo.private]

    # Its interfaces

    def answer(self, address: str) -> tuple[Any, dict[str, str]]:
        """What it says to a request, by the path: a document, and headers."""
        parts = urlsplit(address)
        asked = dict(parse_qsl(parts.query))
        if "ofs" in asked:
            return self._cgit(asked)
        if parts.path.endswith("/api/v1/repos/search"):
            return self._gitea(asked)
        if parts.path.endswith("/api/v4/projects"):
            return self._gitlab(address)
        if "/2.0/" in parts.path:
            return self._bitbucket(address)
        return self._github(address)

    def _gitea(self, asked: dict[str, str]) -> tuple[Any, dict[str, str]]:
        shown = self.shown()
        if asked["sort"] == "updated":
            assert asked["order"] == "desc"
            shown.sort(key=lambda repo: (-repo.changed.timestamp(), repo.id))
        size = min(int(asked["limit"]), self.sized)
        start = (int(asked["page"]) - 1) * size
        items = [self._gitea_item(repo) for repo in shown[start : start + size]]
        return {"ok": True, "data": items}, {"X-Total-Count": str(len(shown))}

    def _gitea_item(self, repo: Repo) -> dict[str, Any]:
        parent = self.repos.get(repo.parent or 0)
        return {
            "id": repo.id, "full_name": repo.name, "clone_url": self.url(repo), "fork": repo.parent is not None,
            "parent": None if parent is None else {"id": parent.id, "clone_url": self.url(parent)},
            "archived": repo.archived, "private": repo.private, "internal": False, "empty": repo.empty,
            "mirror": False, "size": 12, "default_branch": "main", "licenses": ["MIT"], "stars_count": 3,
            "updated_at": repo.changed.isoformat().replace("+00:00", "Z"),
        }  # fmt: skip

    def _gitlab(self, address: str) -> tuple[Any, dict[str, str]]:
        asked = gitlab_rest.asked_of(address)
        shown = [repo for repo in self.shown() if repo.id > asked.get("id_after", 0)]
        if "last_activity_after" in asked:
            shown = [repo for repo in shown if repo.changed > asked["last_activity_after"]]
        items = [self._gitlab_item(repo) for repo in shown[: min(asked.get("per_page", 20), self.sized)]]
        gitlab_rest.check_answer(items, asked)
        return items, {"Link": f'<{self.base}/api/v4/projects?id_after=1>; rel="next"'}

    def _gitlab_item(self, repo: Repo) -> dict[str, Any]:
        parent = self.repos.get(repo.parent or 0)
        return {
            **self._gitlab_basic(repo), "archived": repo.archived, "empty_repo": repo.empty,
            **({} if parent is None else {"forked_from_project": self._gitlab_basic(parent)}),
        }  # fmt: skip

    def _gitlab_basic(self, repo: Repo) -> dict[str, Any]:
        owner, _, name = repo.name.partition("/")
        return {
            "id": repo.id, "description": "", "name": name, "name_with_namespace": f"{owner} / {name}", "path": name,
            "path_with_namespace": repo.name, "created_at": _created(repo).isoformat(timespec="milliseconds"),
            "default_branch": "main", "tag_list": [], "topics": [],
            "ssh_url_to_repo": f"git@{urlsplit(self.base).hostname}:{repo.name}.git",
            "http_url_to_repo": self.url(repo), "web_url": f"{self.base}/{repo.name}", "forks_count": 0,
            "avatar_url": f"{self.base}/uploads/{repo.id}.png", "star_count": 3,
            "last_activity_at": repo.changed.isoformat(timespec="milliseconds"), "visibility": "public",
            "namespace": {
                "id": 1, "name": owner, "path": owner, "kind": "user", "full_path": owner,
                "web_url": f"{self.base}/{owner}",
            },
        }  # fmt: skip

    def _github(self, address: str) -> tuple[Any, dict[str, str]]:
        asked = github_rest.asked_of(address)
        shown = [repo for repo in self.shown() if repo.id > asked.get("since", 0)][: min(100, self.sized)]
        items = [self._github_item(repo) for repo in shown]
        github_rest.check_answer(items, asked)
        return items, {"Link": f'<{self.base}/repositories?since=1>; rel="next"'}

    def _github_item(self, repo: Repo) -> dict[str, Any]:
        owner, _, name = repo.name.partition("/")
        url, user = f"{self.base}/repos/{repo.name}", f"{self.base}/users/{owner}"
        return {
            **{f"{name}_url": f"{url}/{name}" for name in _OF_REPOSITORIES},
            "id": repo.id, "node_id": f"R_{repo.id}", "name": name, "full_name": repo.name, "private": False,
            "description": None, "fork": repo.parent is not None, "url": url, "html_url": f"{self.base}/{repo.name}",
            "owner": {
                **{f"{name}_url": f"{user}/{name}" for name in _OF_USERS},
                "id": 1, "node_id": "U_1", "login": owner, "gravatar_id": "", "url": user,
                "html_url": f"{self.base}/{owner}", "type": "User", "site_admin": False,
            },
        }  # fmt: skip

    def _cgit(self, asked: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        by_age = asked["s"] == "idle"
        shown = sorted(self.shown(), key=lambda repo: (-repo.changed.timestamp() if by_age else 0, repo.name))
        start = int(asked["ofs"])
        rows = "".join(
            f"<tr><td class='toplevel-repo'><a href='/{repo.name}.git/'>{repo.name}</a></td><td></td><td><span "
            f"class='age-mins' title='{repo.changed:%Y-%m-%d %H:%M:%S +0000}'>9 min.</span></td></tr>\n"
            for repo in shown[start : start + self.sized]
        )
        more = "<ul class='pager'></ul>" if len(shown) > self.sized else ""
        page = f"<html><table summary='repository list' class='list nowrap'><tr></tr>{rows}</table>{more}</html>"
        return page.encode(), {"Content-Type": "text/html; charset=UTF-8"}

    def _bitbucket(self, address: str) -> tuple[Any, dict[str, str]]:
        asked, terms = bitbucket.asked_of(address)
        assert asked["sort"] == "created_on"
        assert all(operator == ">=" for _, operator, _ in terms)
        bounds = {name: bound for name, _, bound in terms}
        created, updated = (bounds.get(name, EPOCH) for name in ("created_on", "updated_on"))
        shown = [repo for repo in self.shown() if _created(repo) >= created and repo.changed >= updated]
        size = min(int(asked["pagelen"]), 100, self.sized)
        document = {"pagelen": size, "values": [self._bitbucket_item(repo) for repo in shown[:size]]}
        more = {"next": "https://elsewhere.example/2.0/repositories/o?page=2"} if len(shown) > size else {}
        bitbucket.check_answer(document | more)
        return document | more, {}

    def _bitbucket_item(self, repo: Repo) -> dict[str, Any]:
        parent = self.repos.get(repo.parent or 0)
        return {
            "type": "repository", "uuid": _uuid(repo), "full_name": repo.name, "scm": "git",
            "is_private": repo.private, "size": 12_288,
            "created_on": _created(repo).isoformat(), "updated_on": repo.changed.isoformat(),
            **({} if repo.empty else {"mainbranch": {"type": "branch", "name": "main"}}),
            "links": {
                "html": {"href": f"{self.base}/{repo.name}"},
                "clone": [{"name": "https", "href": f"https://me@{self.base.partition('//')[2]}/{repo.name}.git"}],
            },
            **({} if parent is None else {
                "parent": {
                    "type": "repository", "uuid": _uuid(parent),
                    "links": {"html": {"href": f"{self.base}/{parent.name}"}},
                }
            }),
        }  # fmt: skip

    def page(self, pager: Pager, cursor: Any) -> Page:
        """The page that a cursor asks for, without a connection."""
        address = pager.address(cursor)
        assert isinstance(address, str)
        document, headers = self.answer(address)
        return Page({name.lower(): value for name, value in headers.items()}, sent(document))


Trouble = Callable[[int, str], bytes | None]
"""Given the number of a request, from 0, and its path: what to send instead of the answer; None for the answer."""


@dataclass
class Served:
    """A forge behind a server; ``questions`` answers what is posted."""

    forge: Forge
    server: Listener
    trouble: Trouble = lambda number, path: None
    questions: Callable[[bytes], bytes] | None = None
    requests: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"


def response(body: bytes, status: str = "200 OK", kind: str = "application/json", **headers: str) -> bytes:
    """An answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def head_of(repo: Repo) -> str:
    """The commit at its HEAD, another one after each push."""
    return hashlib.sha1(f"{repo.id} {repo.pushes}".encode()).hexdigest()


def _uuid(repo: Repo) -> str:
    return f"{{00000000-0000-4000-8000-{repo.id:012}}}"


def _created(repo: Repo) -> datetime:
    """Three are made by one import, in the same millisecond."""
    return EPOCH + timedelta(seconds=repo.id // 3, microseconds=123_457 + repo.id % 3)


def sent(document: Any) -> bytes:
    """A document as JSON; HTML as it is."""
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def said(document: Any, **headers: str) -> bytes:
    """An answer of JSON, or of HTML."""
    kind = headers.pop("Content_Type", "application/json")
    return response(sent(document), kind=kind, **headers)


@contextlib.contextmanager
def serving(forge: Forge, trouble: Trouble = lambda number, path: None) -> Iterator[Served]:
    """Serve a forge's interfaces; its clone URLs lead to the same host."""

    def handle(line: Line) -> None:
        while request := line.read_head():
            path = request.split()[1].decode()
            found.requests.append(path)
            found.heads.append(request)
            length = re.search(rb"(?im)^content-length: *(\d+)", request)
            posted = line.reader(int(length[1])) if length is not None else b""
            told = found.trouble(len(found.requests) - 1, path)
            if told is None and request.startswith(b"POST"):
                assert found.questions is not None
                told = found.questions(posted)
            elif told is None:
                document, headers = forge.answer(path)
                told = said(document, **{name.replace("-", "_"): value for name, value in headers.items()})
            line.send(told)

    with listening(handle, "http") as server:
        found = Served(forge, server, trouble)
        forge.base = found.url
        yield found
