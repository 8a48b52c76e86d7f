#!/usr/bin/env bash
# The main job, shown to a person in under a minute. `make demo` builds vpmesh and runs this as root.
#
#   laptop ──wg── gw ═════════════ wg ═════════════ door ──wg── box (a clock on tcp/8000)
#   room attic, owner alice       internet       room cellar, owner bob
#                                     └── site (answers on every port)
#
# demo.sh PROGRAM [DESK]: DESK signs in place of a PROGRAM that has no owner's desk (`vpmesh-mini`).
set -eu

VPMESH=$(realpath "${1:-target/release/vpmesh}")
DESK=$(realpath "${2:-$VPMESH}")
TAG=vpm-demo$$
DIR=$(mktemp -d "${TMPDIR:-/tmp}/$TAG.XXXX")
CHILDREN=()

# ---- telling it ----

if [ -t 1 ]; then BOLD=$'\e[1m' DIM=$'\e[2m' OFF=$'\e[0m'; else BOLD='' DIM='' OFF=''; fi

say() { printf '\n%s%s%s\n' "$BOLD" "$*" "$OFF"; }

show() { sed "s/^/    /"; }

# Prints a command as a person would type it, then runs it.
tell() { printf '  %s$ %s%s\n' "$DIM" "$*" "$OFF"; "$@" 2>&1 | show; return "${PIPESTATUS[0]}"; }

# The same at a host of the demo.
tell_at() {
    local host=$1; shift
    printf '  %s%s$ %s%s\n' "$DIM" "$host" "$*" "$OFF"
    in_ns "$host" "$@" 2>&1 | show
    return "${PIPESTATUS[0]}"
}

# The same for what a policy denies.
tell_denied() {
    ! tell_at "$@" || { echo "$*: was let pass" >&2; exit 1; }
}

vpmesh() { case $1 in owner | station) "$DESK" "$@" ;; *) "$VPMESH" "$@" ;; esac; }

# ---- taking it down, however it ends ----

# Children by their own ids; the namespaces' other inhabitants go with their namespaces.
cleanup() {
    for pid in "${CHILDREN[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for namespace in $(ip netns list | awk '{print $1}' | grep "^$TAG-" || true); do
        for pid in $(ip netns pids "$namespace"); do kill -KILL "$pid" 2>/dev/null || true; done
        ip netns delete "$namespace"
    done
    rm -rf "$DIR" "/var/run/wireguard/d$$-laptop.sock" "/var/run/wireguard/d$$-box.sock"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---- the world: hosts on one internet ----

in_ns() { local host=$1; shift; ip netns exec "$TAG-$host" "$@"; }

background() { local log=$1; shift; "$@" >"$DIR/$log" 2>&1 & CHILDREN+=($!); }

until_true() { # SECONDS COMMAND…: waits for a condition, never for a time
    local deadline=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "waited in vain for: $*" >&2; tail -n 20 "$DIR"/*.log >&2; exit 1; }
        sleep 0.1
    done
}

host() { # NAME NUMBER: a namespace with a cable to the internet
    local name=$1 number=$2
    ip netns add "$TAG-$name"
    in_ns "$name" sysctl -q -w net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
    ip link add eth0 netns "$TAG-$name" type veth peer name "port$number" netns "$TAG-internet"
    ip -n "$TAG-internet" link set "port$number" master br0 up
    ip -n "$TAG-$name" link set lo up
    ip -n "$TAG-$name" link set eth0 up
    ip -n "$TAG-$name" address add "192.0.2.$number/24" dev eth0
}

# ---- a stock WireGuard client, from the wg-quick file that `station add` printed ----

client() { # NAME FILE
    local name=$1 file=$2 interface=d$$-$1
    background "$name.log" in_ns "$name" env WG_PROCESS_FOREGROUND=1 wireguard-go "$interface"
    until_true 10 test -S "/var/run/wireguard/$interface.sock"
    in_ns "$name" wg setconf "$interface" <(grep -vE '^(Address|DNS|MTU) *=' "$file")
    local address
    for address in $(sed -n 's/^Address *= *//p' "$file" | tr ',' ' '); do
        ip -n "$TAG-$name" address add "$address" dev "$interface"
    done
    ip -n "$TAG-$name" link set "$interface" mtu "$(sed -n 's/^MTU *= *//p' "$file" | grep . || echo 1420)" up
    for address in $(sed -n 's/^AllowedIPs *= *//p' "$file" | tr ',' ' '); do
        ip -n "$TAG-$name" route add "$address" dev "$interface" 2>/dev/null || true
    done
}

# ---- a gateway ----

gateway() { # NAME OWNER PATH
    local name=$1 owner=$2 path=$3
    mkdir -p "$DIR/$name/rosters"
    cat >"$DIR/$name/node.toml" <<EOF
node        = "$path"
private_key = "node.key"
owner_key   = "../$owner/$owner.pub"
rosters     = "rosters"
control     = "vpmesh.sock"
EOF
}

hand_out() { # OWNER: a signed roster goes to both gateways at once; by itself it would travel, later
    local to
    for to in gw door; do
        cp "$DIR/$1/$1.toml.sig" "$DIR/$1/$1.toml" "$DIR/$to/rosters/"
    done
}

# ---- the story ----

say "Two rooms, two owners, an internet between them"
cat <<'EOF' | show
laptop --wg-- gw ============= wg ============= door --wg-- box (a clock on tcp/8000)
room attic, owner alice     internet       room cellar, owner bob
                               '--- site
EOF
ip netns add "$TAG-internet"
ip -n "$TAG-internet" link add br0 type bridge
ip -n "$TAG-internet" link set br0 up
number=10
for name in gw door laptop box site; do host "$name" "$number"; number=$((number + 1)); done

say "Each owner has a signing key; each gateway has a WireGuard key"
for owner in alice bob; do
    mkdir -p "$DIR/$owner"
    cd "$DIR/$owner"
    tell vpmesh owner new "$owner"
done
cd "$DIR"
gateway gw alice alice/attic/gw
gateway door bob bob/cellar/door
tell vpmesh key new gw/node.key
tell vpmesh key new door/node.key

cat >alice/alice.toml <<EOF
owner  = "alice"
serial = 1
ipv4   = "10.88.0.0/16"

[[friend]]                       # whose roster alice's gateways accept
owner = "bob"
key   = "$(sed -n 2p bob/bob.pub)"
ipv4  = ["10.89.0.0/16"]

[[egress]]                       # alice's own border: what may leave it
allow = ["tcp/8000", "tcp/22", "icmp"]
to    = "bob"

[[egress]]
allow = "tcp/443"
to    = "internet"

[[room]]
name = "attic"
  [[room.gateway]]
  name = "gw"
  ipv4 = "10.88.1.1"
  key  = "$(vpmesh key public gw/node.key)"
  endpoints = ["192.0.2.10:51888"]
EOF
cat >bob/bob.toml <<EOF
owner  = "bob"
serial = 1
ipv4   = "10.89.0.0/16"

[[friend]]
owner = "alice"
key   = "$(sed -n 2p alice/alice.pub)"
ipv4  = ["10.88.0.0/16"]

[[ingress]]                      # bob's own border: what may enter it
allow = ["tcp/8000", "icmp"]
from  = "alice/attic/laptop"
note  = "the clock"

[[room]]
name = "cellar"
  [[room.gateway]]
  name = "door"
  ipv4 = "10.89.1.1"
  key  = "$(vpmesh key public door/node.key)"
  endpoints = ["192.0.2.11:51888"]
EOF

say "A station joins: its own wg-quick file, and one more entry in the roster (the public key only)"
tell vpmesh station add alice/attic/laptop --roster alice/alice.toml --ipv4 10.88.1.10 --out laptop.conf
vpmesh station add bob/cellar/box --roster bob/bob.toml --ipv4 10.89.1.10 --out box.conf >/dev/null 2>&1

say "Bob's roster, as he wrote it"
show <bob/bob.toml

say "Owners sign; gateways run"
for owner in alice bob; do
    tell vpmesh owner sign "$owner/$owner.toml"
    hand_out "$owner"
done
for name in gw door; do
    in_ns "$name" sysctl -q -w net.ipv4.ip_forward=1
    printf '  %s$ vpmesh run --config %s/node.toml%s\n' "$DIM" "$name" "$OFF"
    background "$name.log" in_ns "$name" "$VPMESH" run --config "$name/node.toml"
done
for name in gw door; do until_true 10 vpmesh status --config "$name/node.toml"; done
# The way to the internet is the router's own business: NAT, as its firewall would do it.
in_ns gw nft -f - <<'EOF'
table inet nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        ip saddr 10.88.0.0/16 oifname eth0 masquerade
    }
}
EOF

say "Stock clients come up: wireguard-go with those wg-quick files"
client laptop laptop.conf
client box box.conf
ip -n "$TAG-laptop" route replace 192.0.2.14 dev "d$$-laptop" 2>/dev/null || true
in_ns laptop wg set "d$$-laptop" peer "$(vpmesh key public gw/node.key)" \
    allowed-ips "$(in_ns laptop wg show "d$$-laptop" allowed-ips | cut -f2 | tr ' ' ','),192.0.2.14/32"
# A file of its own: in an address of socat's a colon has a meaning.
printf '#!/bin/sh\nwhile date +%%T; do sleep 1; done\n' >clock.sh
chmod +x clock.sh
background clock.log in_ns box socat TCP-LISTEN:8000,fork,reuseaddr EXEC:"$DIR/clock.sh"
background ssh.log in_ns box socat TCP-LISTEN:22,fork,reuseaddr SYSTEM:'echo ssh'
background site.log in_ns site socat TCP-LISTEN:443,fork,reuseaddr SYSTEM:'echo hello from the internet'
background site25.log in_ns site socat TCP-LISTEN:25,fork,reuseaddr SYSTEM:'echo spam'
until_true 15 in_ns laptop ping -c 1 -W 1 10.89.1.10

say "Allowed by both owners: the laptop pings bob's box, and reads its clock"
tell_at laptop ping -n -q -c 3 -i 0.2 10.89.1.10
background ticks.log in_ns laptop socat -u TCP:10.89.1.10:8000 -
until_true 5 test -s ticks.log
until_true 5 sh -c "[ \$(wc -l <ticks.log) -ge 2 ]"
show <ticks.log

say "Denied: alice would let ssh out, bob does not let it in. Who says so?"
tell_denied laptop timeout 2 socat -u TCP:10.89.1.10:22,connect-timeout=1 -
tell vpmesh explain alice/attic/laptop bob/cellar/box tcp/22 --config gw/node.toml || true

say "The internet, as alice's egress policy says: https, not mail"
tell_at laptop socat -u TCP:192.0.2.14:443,connect-timeout=2 -
tell_denied laptop socat -u TCP:192.0.2.14:25,connect-timeout=1 -

say "Bob changes his mind: he takes the clock out of his policy, signs, and reloads"
sed -i 's|^allow = \["tcp/8000", "icmp"\]|allow = "icmp"|; s|^note .*|note  = "no more clock"|' bob/bob.toml
tell vpmesh owner sign bob/bob.toml --serial auto
hand_out bob
tell vpmesh reload --config door/node.toml
before=$(wc -l <ticks.log)
# The clock ticks once a second: three seconds without a tick are the end of it.
until_true 8 sh -c "[ \$((\$(date +%s) - \$(stat -c %Y ticks.log))) -ge 3 ]"
after=$(wc -l <ticks.log)
echo "the laptop heard $before ticks up to the reload, and $((after - before)) since: the flow was cut" | show
[ "$after" = "$before" ]
tell vpmesh explain alice/attic/laptop bob/cellar/box tcp/8000 --config door/node.toml || true

say "What bob's gateway says of itself"
tell vpmesh status --config door/node.toml
tell vpmesh peers --config door/node.toml
