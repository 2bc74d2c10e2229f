"""From Pascal VOC and splits to a trained, exported and measured detector."""
