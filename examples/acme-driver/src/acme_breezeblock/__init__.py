"""An example of a driver package: volumes are plain files of a directory."""
