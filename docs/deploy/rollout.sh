#!/bin/sh
# Puts an image of a model in service, or keeps the one that is.
#
#   rollout.sh REPOSITORY@sha256:DIGEST
#   rollout.sh --rollback                    the image that was in service before
#
# The new container starts beside the old one, in the free one of two slots, and has to be ready and to answer the golden prediction of
# its image with the very rows. Only then the front (nginx) sends requests to it, the answer is asked once more through the front, and the
# old container is stopped once it has answered what it was asked. Otherwise the new one is removed, and the old one goes on.
#
# What is in service is written in one file, $STATE/current.conf, which nginx includes; it changes by one rename.
#
# Exit code: 0 in service; 1 refused, what was in service still is; 64 the argument is wrong; 75 another rollout is under way.
set -eu
export LC_ALL=C
umask 077

model={{model}}
: "${ENGINE:=docker}"                   # or podman
: "${ENGINE_FLAGS:=}"                   # flags before its subcommand, split at spaces
: "${RUN_FLAGS:=}"                      # more flags of `run`, split at spaces
: "${STATE:=/var/lib/netsec}"           # current.conf, lock, keys/keys.json, gate.key, golden/HEX/{request,rows}.json
: "${RELOAD:=systemctl reload nginx}"   # how the front reads current.conf again, split at spaces
: "${FRONT:=8080}"                      # where it answers: a port, or an address of this machine and a port
: "${FRONT_ADMIN:=127.0.0.1:9090}"      # where it shows metrics
: "${MEMORY:=512m}"
: "${TRIES:=60}"                        # seconds in which a container has to be ready
: "${STOP:=40}"                         # seconds in which it has to have ended; the server takes up to 31
: "${WAIT:=600}"                        # seconds to wait for another rollout

usage() {
    printf 'rollout: %s: say REPOSITORY@sha256:DIGEST (64 hex digits), or --rollback\n' "$1" >&2
    exit 64
}

# Whether it names one image by digest, and nothing else.
is_image() {
    case $1 in *[!a-z0-9@:./_-]* | -*) return 1 ;; esac
    repository=${1%%@*}
    hex=${1##*@sha256:}
    case ${repository##*/} in '' | *:*) return 1 ;; esac
    case $hex in *[!0-9a-f]*) return 1 ;; esac
    [ "$1" = "$repository@sha256:$hex" ] && [ "${#hex}" -eq 64 ]
}

# The lock's descriptor is closed for everything that may outlive this script, or a container would hold the lock.
engine() {
    # shellcheck disable=SC2086  # flags are split
    "$ENGINE" $ENGINE_FLAGS "$@" 9>&-
}

reload() {
    # shellcheck disable=SC2086  # words are split
    $RELOAD 9>&- > "$work/reloaded" 2>&1 || {
        cat "$work/reloaded" >&2
        return 1
    }
}

# Removes the container of a slot, if there is one, once it has answered what it was asked.
drop() {
    engine stop -t "$STOP" "netsec-$model-$1" > /dev/null 2>&1 || :
    engine rm -f "netsec-$model-$1" > /dev/null 2>&1 || :
}

# What current.conf says of `image`, `slot` or `previous`.
told() { sed -n "s/^# $1 //p" "$STATE/current.conf" 2> /dev/null || :; }

fail() {
    printf 'rollout: %s\n' "$1" >&2
    exit 1
}

[ $# -eq 1 ] || usage "$# arguments"
[ "$1" = --rollback ] || is_image "$1" || usage "\`$1\`"

mkdir -p "$STATE"
exec 9> "$STATE/lock"
flock -w "$WAIT" 9 || {
    echo 'rollout: another one is under way' >&2
    exit 75
}

current=$(told image)
slot=$(told slot)
previous=$(told previous)
image=$1
if [ "$image" = --rollback ]; then
    image=$previous
    is_image "$image" || fail 'there is no image to go back to'
fi
is_image "$image"
case $slot in
    a) new=b port=18082 admin=18092 ;;
    *) new=a port=18081 admin=18091 ;;
esac
golden=$STATE/golden/$hex
work=$(mktemp -d)
stage=begun

# However it ends: what is not in service is removed, and the front has what it had.
finish() {
    trap - EXIT INT TERM HUP
    if [ "$stage" = switched ]; then
        if [ -e "$work/before.conf" ]; then
            cp "$work/before.conf" "$STATE/current.conf.new"
            mv "$STATE/current.conf.new" "$STATE/current.conf"
        else
            rm -f "$STATE/current.conf"
        fi
        reload || echo 'rollout: the front could not be told to go back: reload it' >&2
        sleep 1
    fi
    case $stage in started | switched)
        engine rm -f "netsec-$model-$new" > "$work/removed" 2>&1 || cat "$work/removed" >&2
        if [ "$image" != "$current" ] && [ "$image" != "$previous" ]; then
            engine image rm "$image" > /dev/null 2>&1 || :
            rm -rf "$golden"
        fi
        ;;
    esac
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

ready() { curl -sf --noproxy '*' --max-time 5 -o "$work/ready" "http://127.0.0.1:$1/v2/health/ready"; }

# Whether the server at a port answers the golden prediction with the very rows. The key is in no argument, where others could see it.
answers() {
    printf 'header = "Authorization: Bearer %s"\n' "$(cat "$STATE/gate.key")" > "$work/curl.conf"
    curl -sS --noproxy '*' --max-time 15 --config "$work/curl.conf" -H 'Content-Type: application/json' --data-binary "@$golden/request.json" \
        -o "$work/answer.json" "http://127.0.0.1:$1/v1/score" 2> "$work/why" || return 1
    python3 -I -c '
import json, sys

def rows(path):
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    return found["rows"] if isinstance(found, dict) and "rows" in found else found

found, wanted = (rows(path) for path in sys.argv[1:])
if not isinstance(wanted, list) or not any("probability" in row for row in wanted):
    sys.exit("the golden prediction has no rows with a probability")
if found != wanted:
    if isinstance(found, list) and len(found) == len(wanted):
        found, wanted = next(pair for pair in zip(found, wanted) if pair[0] != pair[1])
    sys.exit(f"it answers {json.dumps(found)[:500]}, where {json.dumps(wanted)[:500]} is expected")
' "$work/answer.json" "$golden/rows.json" 2> "$work/why"
}

# Whether that is so within so many seconds.
comes() { # SECONDS COMMAND...
    left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}

for file in "$golden/request.json" "$golden/rows.json" "$STATE/gate.key" "$STATE/keys/keys.json"; do
    [ -s "$file" ] || fail "\`$file\` is missing or empty"
done
# The container's user reads the keys, as the only file that it is given; nobody else gets as far as this folder.
chmod 755 "$STATE/keys"
chmod 644 "$STATE/keys/keys.json"

if [ -n "$current" ]; then
    # A rollout that was killed may have left the front with what it had before.
    reload || fail 'the front cannot be reloaded'
    if [ "$current" = "$image" ]; then
        # It reads its keys again.
        engine kill --signal HUP "netsec-$model-$slot" > /dev/null 2>&1 || :
        if comes 5 answers "${FRONT##*:}"; then
            stage=settled
            drop "$new"
            printf 'in service already: %s\nprevious: %s\n' "$image" "$previous"
            exit 0
        fi
        printf 'rollout: it is in service and does not answer; it is started anew: ' >&2
        cat "$work/why" >&2
    fi
fi

engine image inspect "$image" > /dev/null 2>&1 || engine pull "$image" > "$work/pulled" 2>&1 || {
    cat "$work/pulled" >&2
    fail "\`$image\` cannot be pulled"
}
# A killed rollout may have left one here, which the front has just been told to leave.
drop "$new"
stage=started
# Not `unless-stopped`: for Docker a container that is sent SIGHUP has been stopped.
# shellcheck disable=SC2086  # flags are split
engine run -d --name "netsec-$model-$new" --restart always \
    --read-only --cap-drop ALL --security-opt no-new-privileges --memory "$MEMORY" --pids-limit 256 \
    -p "127.0.0.1:$port:8080" -p "127.0.0.1:$admin:9090" -v "$STATE/keys:/etc/netsec:ro" $RUN_FLAGS "$image" > "$work/run" 2>&1 || {
    cat "$work/run" >&2
    fail 'the container cannot be started'
}
if ! comes "$TRIES" ready "$port"; then
    engine logs --tail 20 "netsec-$model-$new" >&2 || :
    fail "\`$image\` is refused: it is not ready within $TRIES s"
fi
if ! answers "$port"; then
    cat "$work/why" >&2
    fail "\`$image\` is refused: it does not answer its golden prediction"
fi

[ -z "$current" ] || cp "$STATE/current.conf" "$work/before.conf"
[ "$current" = "$image" ] && before=$previous || before=$current
cat > "$STATE/current.conf.new" << END
# image $image
# slot $new
# previous $before
# The server closes a connection that is idle for 10 s: the front has to be first.
upstream netsec { server 127.0.0.1:$port; keepalive 32; keepalive_timeout 5s; }
server {
    listen $FRONT;
    client_max_body_size 0;
    location / {
        proxy_pass http://netsec;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host \$http_host;
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_read_timeout 300s;
    }
}
server {
    listen $FRONT_ADMIN;
    location / { proxy_pass http://127.0.0.1:$admin; }
}
END
stage=switched
mv "$STATE/current.conf.new" "$STATE/current.conf"
reload || fail 'the front cannot be reloaded'
comes 15 answers "${FRONT##*:}" || {
    cat "$work/why" >&2
    fail "the front does not pass on what \`$image\` answers; it is given back"
}
stage=settled

# What comes now cannot take it out of service again.
[ -z "$slot" ] || drop "$slot"
if [ -n "$previous" ] && [ "$previous" != "$image" ] && [ "$previous" != "$before" ]; then
    engine image rm "$previous" > /dev/null 2>&1 || :
    rm -rf "$STATE/golden/${previous##*@sha256:}"
fi
printf 'in service: %s\nprevious: %s\n' "$image" "$before"
