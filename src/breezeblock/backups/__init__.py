"""Where backups are kept, outside the storage of their volumes."""
