#!/bin/sh
# Installs the vilicus agent @VERSION@ on this host as a service, and introduces it to @SERVER@.
#
#   curl -fsS @SERVER@/install.sh | sudo sh -s -- --token TOKEN [--name NAME] [--tag TAG]... [--ca-file FILE]
#   curl -fsS @SERVER@/install.sh | sudo sh -s -- --uninstall
#
# --dry-run says what would be done, and does nothing. Running it again upgrades the program and keeps the token.
# Everything happens in main, which is called in the last line: a download that breaks off does nothing.
set -eu

SERVER="@SERVER@"
SHA256="@SHA256@"
ARCHITECTURE="@ARCHITECTURE@"
PROGRAM="/usr/local/bin/vilicus-agent"
DIRECTORY="/etc/vilicus"
ACCOUNT="vilicus-agent"
UNIT="/etc/systemd/system/vilicus-agent.service"

main() {
    TOKEN="${VILICUS_ENROLL_TOKEN:-}" NAME="" TAGS="" CA_FILE="" DRY="" UNINSTALL=""
    while [ $# -gt 0 ]; do
        case "$1" in
            --token) TOKEN="$(value "$@")"; shift ;;
            --name) NAME="$(value "$@")"; shift ;;
            --tag) TAGS="$TAGS $(value "$@")"; shift ;;
            --ca-file) CA_FILE="$(value "$@")"; shift ;;
            --dry-run) DRY=1 ;;
            --uninstall) UNINSTALL=1 ;;
            *) fail "unknown option $1; there are --token, --name, --tag, --ca-file, --dry-run and --uninstall" ;;
        esac
        shift
    done
    [ "$(uname -s)" = Linux ] || fail "this script knows only Linux"
    [ -n "$DRY" ] || [ "$(id -u)" = 0 ] || fail "this needs root: run it with sudo, or with --dry-run"
    if [ -n "$UNINSTALL" ]; then uninstall; else install_agent; fi
}

value() {
    [ $# -ge 2 ] || fail "$1 needs a value"
    printf '%s' "$2"
}

install_agent() {
    if [ ! -e "$DIRECTORY/agent.token" ] && [ -z "$TOKEN" ]; then
        fail "no token: say --token TOKEN; the dashboard makes one under 'Add a host'"
    fi
    program
    account
    enrol
    service
}

program() {
    if [ -z "$SHA256" ]; then
        command -v vilicus-agent >/dev/null || [ -n "$DRY" ] ||
            fail "$SERVER has no agent to give away; install vilicus-agent first, and run this again"
        PROGRAM="$(command -v vilicus-agent || echo "$PROGRAM")"
        return
    fi
    [ "$(uname -m)" = "$ARCHITECTURE" ] ||
        fail "$SERVER has the agent for $ARCHITECTURE, and this host is $(uname -m); install vilicus-agent by hand"
    say "download $SERVER/install/vilicus-agent to $PROGRAM"
    [ -n "$DRY" ] && return
    fetched="$(mktemp "$PROGRAM.XXXXXX")"
    trap 'rm -f "$fetched"' EXIT
    curl -fsS ${CA_FILE:+--cacert "$CA_FILE"} -o "$fetched" "$SERVER/install/vilicus-agent"
    printf '%s  %s\n' "$SHA256" "$fetched" | sha256sum --check --status ||
        fail "what was downloaded is not what the server promised (SHA-256); nothing was installed"
    chmod 0755 "$fetched"
    mv "$fetched" "$PROGRAM"
    trap - EXIT
}

account() {
    id "$ACCOUNT" >/dev/null 2>&1 ||
        run useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$ACCOUNT"
    run install -d -m 0750 -o root -g "$ACCOUNT" "$DIRECTORY"
}

enrol() {
    if [ -e "$DIRECTORY/agent.token" ]; then
        say "keep the token in $DIRECTORY/agent.token"
        return
    fi
    set -- --config "$DIRECTORY/agent.toml" enroll --server "$SERVER"
    [ -z "$NAME" ] || set -- "$@" --name "$NAME"
    [ -z "$CA_FILE" ] || set -- "$@" --ca-file "$CA_FILE"
    for tag in $TAGS; do set -- "$@" --tag "$tag"; done
    say "$PROGRAM $*"
    # In the environment, where other users do not see it.
    [ -n "$DRY" ] || VILICUS_ENROLL_TOKEN="$TOKEN" "$PROGRAM" "$@"
    run chown "$ACCOUNT:" "$DIRECTORY/agent.toml" "$DIRECTORY/agent.token"
}

service() {
    if [ ! -d /run/systemd/system ]; then
        say "systemd does not run here; start it with: su -s /bin/sh $ACCOUNT -c '$PROGRAM run'"
        return
    fi
    say "write $UNIT"
    [ -n "$DRY" ] || unit >"$UNIT"
    run systemctl daemon-reload
    run systemctl enable vilicus-agent.service
    run systemctl restart vilicus-agent.service
}

unit() {
    cat <<UNIT
[Unit]
Description=vilicus agent
Documentation=$SERVER/
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart=$PROGRAM run
User=$ACCOUNT
Restart=always
RestartSec=5
TimeoutStopSec=20
# It reads /proc, /sys and file systems, and speaks with its server; for anything else a check asks to run, widen this.
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077

[Install]
WantedBy=multi-user.target
UNIT
}

uninstall() {
    if [ -e "$UNIT" ]; then
        run systemctl disable --now vilicus-agent.service
        run rm -f "$UNIT"
        run systemctl daemon-reload
    fi
    run rm -f "$PROGRAM" "$DIRECTORY/agent.toml" "$DIRECTORY/agent.token"
    # Only when nothing else is in it: the server's files live there, too.
    [ ! -d "$DIRECTORY" ] || run rmdir --ignore-fail-on-non-empty "$DIRECTORY"
    if id "$ACCOUNT" >/dev/null 2>&1; then run userdel "$ACCOUNT"; fi
    say "the host itself stays on $SERVER until it is removed there"
}

run() {
    say "$*"
    [ -n "$DRY" ] || "$@"
}

say() { printf '%s%s\n' "${DRY:+would: }" "$*"; }

fail() {
    printf 'vilicus: %s\n' "$*" >&2
    exit 1
}

main "$@"
