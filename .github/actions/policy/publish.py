#!/usr/bin/env python3
"""Puts what review.sh wrote where reviewers see it: one comment that is found again by its marker, labels, code scanning.

In: REPORTS, PULL_REQUEST, GH_TOKEN, and the runner's own GITHUB_*. A token without the right to one of them leaves it
out, with a notice; nothing here fails a run.
"""

import base64
import gzip
import json
import os
import pathlib
import urllib.error
import urllib.request

# The most pages of comments that are looked through, with a hundred on each.
PAGES_MAX = 30
SECONDS_MAX = 30

reports = pathlib.Path(os.environ["REPORTS"])
pull_request = os.environ.get("PULL_REQUEST", "")
repository = os.environ.get("GITHUB_API_URL", "https://api.github.com") + "/repos/" + os.environ["GITHUB_REPOSITORY"]


def ask(method, path, body=None):
    """What the API answers, and None when it refuses."""
    request = urllib.request.Request(
        repository + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["GH_TOKEN"],
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:
            return json.loads(answer.read() or b"{}")
    except (urllib.error.URLError, TimeoutError, ValueError):
        return None


def attempt(what, method, path, body):
    if ask(method, path, body) is None:
        print(f"::notice::{what}: the token may not; see the job's summary instead")


def read(name):
    path = reports / name
    return path.read_text() if path.is_file() else ""


def code_scanning():
    packed = base64.b64encode(gzip.compress(read("findings.sarif").encode())).decode()
    body = {"commit_sha": os.environ["GITHUB_SHA"], "ref": os.environ.get("GITHUB_REF", ""), "sarif": packed}
    attempt("code scanning", "POST", "/code-scanning/sarifs", body)


def earlier(marker):
    """The comment of an earlier run. Those of people do not count: anybody can write the marker."""
    for page in range(1, PAGES_MAX + 1):
        comments = ask("GET", f"/issues/{pull_request}/comments?per_page=100&page={page}")
        if not comments:
            return None
        for comment in comments:
            if comment["user"]["type"] == "Bot" and comment["body"].startswith(marker):
                return comment["id"]
    return None


def comment():
    text = read("comment.md")
    old = earlier(text.split("\n", 1)[0])
    if old is None:
        attempt("comment", "POST", f"/issues/{pull_request}/comments", {"body": text})
    else:
        attempt("comment", "PATCH", f"/issues/comments/{old}", {"body": text})


def labels():
    wanted = read("labels").split()
    for label in ["access:widens", "access:narrows"]:
        if label in wanted:
            attempt(f"label {label}", "POST", f"/issues/{pull_request}/labels", {"labels": [label]})
        else:
            # It may not be there.
            ask("DELETE", f"/issues/{pull_request}/labels/{label}")


if read("findings.sarif"):
    code_scanning()
if pull_request and read("comment.md"):
    comment()
    labels()
