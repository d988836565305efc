#!/usr/bin/env bash
# Puts what review.sh wrote where reviewers see it: one comment that is found again by its marker, labels, code scanning.
# In: REPORTS, PULL_REQUEST, GH_TOKEN. A token without the right to one of them leaves it out, with a notice.
set -uo pipefail
repository="repos/$GITHUB_REPOSITORY"
try() { # what, then a command
  local what="$1"; shift
  "$@" > /dev/null || echo "::notice::$what: the token may not; see the job's summary instead"
}
if [ -s "$REPORTS/findings.sarif" ]; then
  ref="${GITHUB_REF:-}"
  try "code scanning" gh api --method POST "$repository/code-scanning/sarifs" \
    -f commit_sha="$GITHUB_SHA" -f ref="$ref" -f sarif="$(gzip -c "$REPORTS/findings.sarif" | base64 --wrap=0)"
fi
if [ -z "${PULL_REQUEST:-}" ] || [ ! -s "$REPORTS/comment.md" ]; then exit 0; fi
marker=$(head -n 1 "$REPORTS/comment.md")
old=$(gh api --paginate "$repository/issues/$PULL_REQUEST/comments" \
  --jq ".[] | select(.user.type == \"Bot\" and (.body | startswith(\"$marker\"))) | .id" | head -n 1) || old=""
if [ -n "$old" ]; then
  try comment gh api --method PATCH "$repository/issues/comments/$old" -F body=@"$REPORTS/comment.md"
else
  try comment gh api --method POST "$repository/issues/$PULL_REQUEST/comments" -F body=@"$REPORTS/comment.md"
fi
for label in access:widens access:narrows; do
  if grep -qx "$label" "$REPORTS/labels"; then
    try "label $label" gh api --method POST "$repository/issues/$PULL_REQUEST/labels" -f "labels[]=$label"
  else
    # It may not be there.
    gh api --method DELETE "$repository/issues/$PULL_REQUEST/labels/$label" > /dev/null 2>&1 || true
  fi
done
