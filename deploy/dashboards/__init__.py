"""Grafana's dashboards, made from code: `python -m deploy.dashboards` writes the JSON files beside it."""
