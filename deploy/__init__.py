"""How Tally is deployed: an image, a Compose file, Kubernetes manifests, dashboards and alert rules. No part of it."""
