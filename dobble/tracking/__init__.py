"""From results, finished or growing, to runs in MLflow."""
