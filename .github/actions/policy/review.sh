#!/usr/bin/env bash
# What a change of a policy is worth saying: findings, tests, freshness of generated files, and the access diff.
# Writes findings.sarif, tests.xml, comment.md, diff.json and labels into $REPORTS; needs no network and no secret.
# In: LEASEHOLDC, FOLDER, REPORTS; BASE and AUTHOR may be empty. Fails when the policy has errors or a test fails.
set -uo pipefail
mkdir -p "$REPORTS"
failed=0
step() { # a name, then a command; its annotations go to the log
  echo "::group::$1"; shift
  "$@" || failed=1
  echo "::endgroup::"
}
if ! command -v "$LEASEHOLDC" > /dev/null; then
  echo "::error::leaseholdc is not on PATH: install it in an earlier step, or set the input 'leaseholdc'"
  exit 1
fi
step check "$LEASEHOLDC" check --format github "$FOLDER"
"$LEASEHOLDC" check --format sarif "$FOLDER" > "$REPORTS/findings.sarif" || true
step formatting "$LEASEHOLDC" fmt --check "$FOLDER"
step tests "$LEASEHOLDC" test --format github --junit "$REPORTS/tests.xml" "$FOLDER"
if [ -e "$FOLDER/ACCESS.md" ]; then step "ACCESS.md" "$LEASEHOLDC" matrix --check "$FOLDER"; fi
if [ -n "${BASE:-}" ]; then
  # A checkout is often shallow; the two commits suffice.
  git cat-file -e "$BASE^{commit}" 2> /dev/null || git fetch --quiet --depth=1 origin "$BASE"
  people=()
  if [ -n "${AUTHOR:-}" ] && [ -e "$FOLDER/directory.json" ]; then
    people=(--directory "$FOLDER/directory.json" --author "$AUTHOR")
  fi
  diff() { "$LEASEHOLDC" diff "$BASE" HEAD --path "$FOLDER" "${people[@]}" "$@"; }
  if diff --format markdown > "$REPORTS/comment.md" && diff --format json > "$REPORTS/diff.json"; then
    verdict=$(sed -n 's/^  "verdict": "\([a-z]*\)",$/\1/p' "$REPORTS/diff.json" | head -n 1)
    case "$verdict" in
      wider | mixed) echo "access:widens" ;;
      narrower) echo "access:narrows" ;;
    esac > "$REPORTS/labels"
    echo "verdict=$verdict" >> "${GITHUB_OUTPUT:-/dev/null}"
    cat "$REPORTS/comment.md" >> "${GITHUB_STEP_SUMMARY:-/dev/null}"
    if [ "${FAIL_ON_WIDER:-false}" = true ]; then
      step "nobody gains" diff --fail-on wider
    fi
  else
    # Never the comment of an earlier commit: what could not be compared has none.
    rm -f "$REPORTS/comment.md" "$REPORTS/diff.json"
    echo "::error::the two revisions could not be compared"
    failed=1
  fi
fi
exit "$failed"
