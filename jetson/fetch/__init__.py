"""From a registry, a folder or an archive to the bundle in use here."""
