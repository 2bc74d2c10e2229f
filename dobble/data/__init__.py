"""From a labelling project or a rendered deck to Pascal VOC and splits without leaks."""
