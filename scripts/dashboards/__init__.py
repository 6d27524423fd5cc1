"""Grafana's dashboards, made from the definitions of metrics."""
