# shellcheck shell=sh
# Part of each stand-in: questions about the version go to the real tool, which the tests have installed.
real=${0%/*}/../../.tools/trivy/bin/trivy
case $1 in
--version) exec "$real" "$@" ;;
esac
