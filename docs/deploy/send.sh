#!/bin/sh
# Has the instance roll out an image, and waits until it has.
#
#   send.sh sha256:DIGEST
#
# INSTANCE is the instance's id. Prints what the rollout printed; ends with 1 unless it succeeded.
set -eu
: "${POLL:=5}"   # seconds between two questions

hex=${1#sha256:}
case $hex in *[!0-9a-f]*) hex= ;; esac
if [ "$1" != "sha256:$hex" ] || [ "${#hex}" -ne 64 ]; then
    printf 'send: %s is not the digest of an image\n' "$1" >&2
    exit 64
fi

# The newest version of the document, whatever its default is: stack updates have been seen not to move that.
command=$(aws ssm send-command --document-name netsec-rollout-{{model}} --document-version "\$LATEST" \
    --instance-ids "$INSTANCE" --parameters "digest=$1" --timeout-seconds 120 --query Command.CommandId --output text)

ask() { aws ssm get-command-invocation --command-id "$command" --instance-id "$INSTANCE" --query "$1" --output text; }

status=Pending
left=240
while [ "$left" -gt 0 ]; do
    # It is not known in the first moments.
    status=$(ask Status) || status=Pending
    case $status in Pending | InProgress | Delayed | Cancelling) ;; *) break ;; esac
    left=$((left - 1))
    sleep "$POLL"
done
ask StandardOutputContent || :
ask StandardErrorContent >&2 || :
[ "$status" = Success ] || {
    printf 'send: the rollout ended as %s\n' "$status" >&2
    exit 1
}
