#!/usr/bin/env bash
# Writes what was released, from what and by whom (an in-toto statement, SLSA provenance v1), and signs it with the Ed25519 key
# in RELEASE_KEY (PEM). Anybody checks it with the public key:
#   openssl pkeyutl -verify -pubin -inkey release.pub.pem -rawin -in provenance.json -sigfile provenance.json.sig
set -euo pipefail
cd "$1"
sha256sum netsec netsec.cdx.json > SHA256SUMS
commit=$(git -C "$OLDPWD" rev-parse HEAD)
subject() { jq -n --arg name "$1" --arg sha256 "$(sha256sum "$1" | cut -d' ' -f1)" '{name: $name, digest: {sha256: $sha256}}'; }
jq -n --argjson binary "$(subject netsec)" --argjson components "$(subject netsec.cdx.json)" \
  --arg repository "https://github.com/$REPOSITORY" --arg tag "$TAG" --arg commit "$commit" --arg run "$RUN" '
  {
    _type: "https://in-toto.io/Statement/v1",
    subject: [$binary, $components],
    predicateType: "https://slsa.dev/provenance/v1",
    predicate: {
      buildDefinition: {
        buildType: ($repository + "/blob/main/.github/workflows/release.yml"),
        externalParameters: {tag: $tag},
        resolvedDependencies: [{uri: ("git+" + $repository), digest: {gitCommit: $commit}}]
      },
      runDetails: {
        builder: {id: ($repository + "/actions")},
        metadata: {invocationId: ($repository + "/actions/runs/" + $run)}
      }
    }
  }' > provenance.json
key=$(mktemp)
trap 'rm -f "$key"' EXIT
printf '%s\n' "$RELEASE_KEY" > "$key"
openssl pkeyutl -sign -inkey "$key" -rawin -in provenance.json -out provenance.json.sig
