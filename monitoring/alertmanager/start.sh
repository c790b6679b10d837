#!/bin/sh
# Writes Alertmanager's configuration from environment variables, which its own files cannot read, then
# replaces itself by Alertmanager. Receivers without an address are omitted.
#   SLACK_WEBHOOK_URL, SLACK_CHANNEL
#   ALERT_EMAIL_TO, ALERT_EMAIL_FROM, SMTP_SMARTHOST (host:port), SMTP_USERNAME,
#   SMTP_PASSWORD or SMTP_PASSWORD_FILE, SMTP_REQUIRE_TLS (true; false: a server without STARTTLS)
# With --print the configuration is written to standard output and nothing is started.
set -eu

# Quotes a value as a YAML string: single quotes, doubled inside.
quoted() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

need() {
    eval "value=\${$1:-}"
    if [ -z "$value" ]; then
        echo "alertmanager: $2 is set, so $1 is needed" >&2
        exit 2
    fi
}

configuration() {
    cat <<'CONFIG'
route:
  receiver: people
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
    - matchers: ['severity = "critical"']
      repeat_interval: 1h
    - matchers: ['severity = "info"']
      repeat_interval: 24h
inhibit_rules:
  # If the broker or the API is down, these other alerts are consequences.
  - source_matchers: ['alertname = "RedisDown"', 'server = "broker"']
    target_matchers: ['alertname =~ "HighErrorRate|HighLatency|WorkerDown|NoCompletions"']
  - source_matchers: ['alertname = "APIDown"']
    target_matchers: ['alertname =~ "HighErrorRate|HighLatency"']
receivers:
  - name: people
CONFIG
    if [ -n "${SLACK_WEBHOOK_URL:-}" ]; then
        cat <<CONFIG
    slack_configs:
      - api_url: $(quoted "$SLACK_WEBHOOK_URL")
        channel: $(quoted "${SLACK_CHANNEL:-#alerts}")
        send_resolved: true
        title: '{{ .Status | toUpper }}: {{ .CommonAnnotations.summary }}'
        text: '{{ range .Alerts }}{{ .Annotations.description }} {{ .Annotations.runbook_url }}{{ "\n" }}{{ end }}'
CONFIG
    fi
    if [ -n "${ALERT_EMAIL_TO:-}" ]; then
        cat <<CONFIG
    email_configs:
      - to: $(quoted "$ALERT_EMAIL_TO")
        from: $(quoted "$ALERT_EMAIL_FROM")
        smarthost: $(quoted "$SMTP_SMARTHOST")
        require_tls: ${SMTP_REQUIRE_TLS:-true}
        auth_username: $(quoted "${SMTP_USERNAME:-}")
        send_resolved: true
CONFIG
        # The file is read when a mail is sent, so that a new password needs no restart.
        if [ -n "${SMTP_PASSWORD_FILE:-}" ]; then
            echo "        auth_password_file: $(quoted "$SMTP_PASSWORD_FILE")"
        else
            echo "        auth_password: $(quoted "${SMTP_PASSWORD:-}")"
        fi
    fi
}

if [ -n "${ALERT_EMAIL_TO:-}" ]; then
    need ALERT_EMAIL_FROM ALERT_EMAIL_TO
    need SMTP_SMARTHOST ALERT_EMAIL_TO
    case "${SMTP_REQUIRE_TLS:-true}" in
        true | false) ;;
        *)
            echo "alertmanager: SMTP_REQUIRE_TLS must be true or false" >&2
            exit 2
            ;;
    esac
fi

if [ "${1:-}" = --print ]; then
    configuration
    exit
fi

umask 077
configuration >/tmp/alertmanager.yml
exec /bin/alertmanager --config.file=/tmp/alertmanager.yml --storage.path=/alertmanager
