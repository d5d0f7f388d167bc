#!/bin/sh
# Installs what the tests need and the machine lacks, from Debian: the clients of these
# tests, the Redis and the strace of the unit tests and the nginx of these and the benchmark's. It is called where CI=true and nowhere else. It
# starts no service and leaves what is there alone.
set -eu

packages=
need() { # command package
	command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
need dockerd docker.io
need containerd containerd
need runc runc
need podman podman
need conmon conmon
need buildah buildah
need skopeo skopeo
need mount mount
need redis-server redis-server
need strace strace
need /usr/sbin/nginx nginx-light

as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -n"
export DEBIAN_FRONTEND=noninteractive

# install starts nothing: a policy of ours stands in while packages are set up, unless the
# machine has one.
install() {
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
		$as_root chmod 755 "$policy"
		trap '$as_root rm -f "$policy"' EXIT
	fi
	# shellcheck disable=SC2086 # words on purpose
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends "$@"
}

if [ -n "$packages" ]; then
	echo "setup.sh: installing$packages"
	$as_root apt-get -o DPkg::Lock::Timeout=300 update -qq
	# shellcheck disable=SC2086 # words on purpose
	install ca-certificates $packages
fi
# Debian 13 has the command apart from the daemon.
if ! command -v docker >/dev/null 2>&1; then
	install docker-cli
fi
