#!/bin/sh
# Writes .env with fresh secrets for docker-compose.yml; an existing one is left alone.
set -eu
target=${1:-.env}
if [ -e "$target" ]; then
    echo "carprice: $target exists already; delete it first to get new secrets" >&2
    exit 1
fi
secret() {
    # Letters and digits only, because the passwords are used in URLs.
    LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | dd bs=1 count=32 2>/dev/null
}
umask 077
sed -e '/^#!/d' .env.example | while IFS= read -r line; do
    case $line in
    FLOWER_BASIC_AUTH=) echo "${line}operator:$(secret)" ;;
    *_PASSWORD=) case $line in SMTP_*) echo "$line" ;; *) echo "$line$(secret)" ;; esac ;;
    *) echo "$line" ;;
    esac
done >"$target"
echo "carprice: secrets are in $target; keep it out of version control"
