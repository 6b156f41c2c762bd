// Package alerting is what every process knows of alerts: the configuration of the
// alerter, and what its admin API asks of the one that it runs. What evaluates rules
// and notifies is package alerter, which few processes link: Prometheus and
// Alertmanager are large.
package alerting
