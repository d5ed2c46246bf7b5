"""Where the keys of encrypted volumes are kept: files of this machine, or Barbican."""
