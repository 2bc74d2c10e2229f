"""From an evaluated bundle to a registered version, the champion, and the archive for a device."""
