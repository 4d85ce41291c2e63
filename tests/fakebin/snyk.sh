# shellcheck shell=sh
# Part of each stand-in for Snyk: its version, where its answers lie, and that it was given its token and no other.
samples=${0%/*}/../samples/snyk
case $* in
--version)
	echo 1.1300.0
	exit 0
	;;
esac
[ -n "${SNYK_TOKEN:-}" ] && [ -z "${SNYK_CFG_ORG:-}" ] || exit 2
