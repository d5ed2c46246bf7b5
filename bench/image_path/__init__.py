"""`make bench-image`: images into volumes, this project's way, Cinder's way and the least that a machine must do."""
