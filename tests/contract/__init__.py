"""What the real Cinder answers, recorded, and Breezeblock held against it: the same scenarios run on both."""
