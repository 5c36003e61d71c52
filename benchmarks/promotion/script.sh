#!/usr/bin/env bash
# A promotion as teams script it: curl and jq, one request after another, in the order of section
# "observe, back up, release, record" of a runbook. For the benchmark, so it does what liftlock must
# do to change the same things and nothing more: no lease, no check, no way back, no look afterwards.
# It is kinder than the scripts it stands for: it waits for backups, and stops at an HTTP error.
#
# Usage: script.sh SYSTEMS.json, which benchmarks/promotion/peer.py writes.
set -euo pipefail
systems=$1

ask() { # METHOD URL [JSON]
  local data=()
  [ $# -lt 3 ] || data=(--data "$3")
  curl --silent --show-error --fail --request "$1" --header "Authorization: Bearer owner" \
    --header "Accept: ${accept:-application/json}" --header "Content-Type: application/json" "${data[@]}" "$2"
}
heroku() { accept="application/vnd.heroku+json; version=3.docker-releases" ask "$@"; }
each() { jq --raw-output "$1 | @tsv" "$systems"; }

declare -A ref payload
while IFS=$'\t' read -r app repository task from _; do
  found=$(ask GET "$GITHUB_API_URL/repos/$repository/deployments?task=$task&environment=$from&per_page=1")
  ref[$app]=$(jq --raw-output '.[0].sha' <<<"$found")
  payload[$app]=$(jq --compact-output '.[0].payload | {docker_image_shas} | with_entries(select(.value))' <<<"$found")
done < <(each '.[] | [.app, .repository, .task, .from]')

while IFS=$'\t' read -r target; do
  database=$(heroku GET "$HEROKU_API_URL/apps/$target/addons" |
    jq --raw-output '.[] | select(.addon_service.name == "heroku-postgresql") | .id' | head -n 1)
  transfer=$(heroku POST "$HEROKU_DATA_URL/client/v11/databases/$database/backups" | jq --raw-output .uuid)
  until [ "$(heroku GET "$HEROKU_DATA_URL/client/v11/apps/$target/transfers/$transfer" |
    jq --raw-output .succeeded)" = true ]; do sleep 0.5; done
done < <(each '.[] | select(.backup) | [.target]')

while IFS=$'\t' read -r app kind source target; do
  case $kind in
  heroku)
    updates=$(jq --compact-output '{updates: [.docker_image_shas | to_entries[] | {type: .key, docker_image: .value}]}' <<<"${payload[$app]}")
    heroku PATCH "$HEROKU_API_URL/apps/$target/formation" "$updates" >/dev/null
    ;;
  firebase)
    sites=$FIREBASE_HOSTING_API_URL/v1beta1
    version=$(ask GET "$sites/sites/$source/releases?pageSize=1" | jq --raw-output '.releases[0].version.name')
    clone=$(ask POST "$sites/projects/-/sites/$target/versions:clone" "{\"sourceVersion\": \"$version\", \"finalize\": true}")
    until [ "$(jq --raw-output '.done // false' <<<"$clone")" = true ]; do
      sleep 0.2
      clone=$(ask GET "$sites/$(jq --raw-output .name <<<"$clone")")
    done
    ask POST "$sites/sites/$target/releases?versionName=$(jq --raw-output .response.name <<<"$clone")" '{}' >/dev/null
    ;;
  command) (cd "$source" && ./migrate apply "$target") ;;
  esac
done < <(each '.[] | [.app, .kind, .source, .target]')

while IFS=$'\t' read -r app repository task to; do
  record=$(jq --null-input --compact-output --arg ref "${ref[$app]}" --arg task "$task" --arg to "$to" \
    --argjson payload "${payload[$app]}" \
    '{ref: $ref, task: $task, environment: $to, payload: $payload, auto_merge: false, required_contexts: []}')
  id=$(ask POST "$GITHUB_API_URL/repos/$repository/deployments" "$record" | jq .id)
  ask POST "$GITHUB_API_URL/repos/$repository/deployments/$id/statuses" '{"state": "success"}' >/dev/null
done < <(each '.[] | [.app, .repository, .task, .to]')

[ -z "${SLACK_WEBHOOK_URL:-}" ] || ask POST "$SLACK_WEBHOOK_URL" '{"text": "promoted"}' >/dev/null
