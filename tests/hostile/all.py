"""All hostile repositories and servers, by name."""

from tests.hostile import blobs, commits, packs, refs, servers, tags, trees, web_servers
from tests.hostile.spec import REPOSITORIES, SERVERS, Repository, Server

__all__ = [
    "REPOSITORIES", "SERVERS", "Repository", "Server",
    "blobs", "commits", "packs", "refs", "servers", "tags", "trees", "web_servers",
]  # fmt: skip
