"""From a labelling project, an export file or a folder of photos to raw data."""
