"""Plays live: frames of a camera become answers, and both become a web page that several people watch."""
