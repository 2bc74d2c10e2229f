"""The stages of `dvc.yaml`: their graph, running one, its code, its output and its locks."""
