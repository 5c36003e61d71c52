#!/bin/sh
# A promotion on a swarm as a script does it: each service in turn is given the image that runs in the source.
# Usage: script.sh SOURCE-STACK TARGET-STACK SERVICE…
# It takes no backup, runs no migration, records nothing, and leaves what it has done when a service fails.
set -eu
source=$1 target=$2
shift 2
for service in "$@"; do
  image=$(docker service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' "${source}_$service")
  docker service update --quiet --detach=false --image "$image" "${target}_$service"
done
