"""What workers do: one function for each thing that takes time, told from top to bottom. Read `create_volume` first."""
